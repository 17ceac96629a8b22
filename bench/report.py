"""The rows of a run: what was measured, beside what limits it; build/bench.json and the table."""
import json
import os
import re
import statistics
import sys

rows = []


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def add(name, notes, value=None, unit=None):
    rows.append({"name": name, "value": None if value is None else round(value, 3), "unit": unit, "limit": None, "limit_value": None, "ratio": None, "bar": None,
                 "met": None, "notes": notes})


def in_turns(measure, kinds, rounds):
    """measure(kind) of each kind in turns, `rounds` times, each beginning with another: the samples of each, in the order of kinds. A machine drifts by more than some bars
    within a minute: neighbours in time are compared, see ratio()."""
    samples = [[] for _ in kinds]
    for i in range(rounds):
        for j in range(len(kinds)):
            at = (i + j) % len(kinds)
            samples[at].append(measure(kinds[at]))
    return samples


def ratio(of, to):
    """Median of the pairs' ratios."""
    return statistics.median(x / y for x, y in zip(of, to))


def row(name, value, unit, limit, limit_value, bar, notes="", inverse=False, of_pairs=None):
    """bar: ("<=" or ">=", number) for ratio = value / limit_value (inverse: the other way round, for times that shall be rates). of_pairs: the median ratio of
    neighbouring pairs is judged instead; both medians are shown as they were measured."""
    ratio = of_pairs if of_pairs is not None else limit_value / value if inverse else value / limit_value
    met = ratio <= bar[1] if bar[0] == "<=" else ratio >= bar[1]
    add(name, notes, value, unit)
    rows[-1].update({"limit": limit, "limit_value": round(limit_value, 3), "ratio": round(ratio, 3), "bar": f"{bar[0]} {bar[1]:g}", "met": met})


def beside(name, value, unit, limit, limit_value, notes="", inverse=False):
    """A ratio that nobody has set a bar for."""
    add(name, notes, value, unit)
    rows[-1].update({"limit": limit, "limit_value": round(limit_value, 3), "ratio": round(limit_value / value if inverse else value / limit_value, 3)})


def figure(name, value, unit, notes=""):
    """A number that nobody has set a bar for."""
    add(name, notes, value, unit)


def not_measured(name, why):
    add(name, why)


def numbers(text):
    return {m[1]: float(m[2]) for m in re.finditer(r"^(\w+) ([0-9.]+)$", text, re.M)}


def write(out):
    with open(os.path.join(out, "bench.json"), "w", encoding="utf-8") as f:
        json.dump(rows, f, indent=1)


def table():
    print(f"\n{'what':<46} {'value':>10} {'unit':<22} {'limit':>10}  {'ratio':>6}  {'bar':<8} met")
    for r in rows:
        if r["met"] is None:
            limit = f"{'':>10}  {'':>6}" if r["limit"] is None else f"{r['limit_value']:>10.2f}  {r['ratio']:>6.2f}"
            value = "" if r["value"] is None else f"{r['value']:>10.2f} {r['unit']:<22} {limit}  {'no bar':<8} "
            against = "" if r["limit"] is None else f"vs {r['limit']}{'; ' if r['notes'] else ''}"
            print(f"{r['name']:<46} {value}{against}{r['notes']}")
            continue
        print(f"{r['name']:<46} {r['value']:>10.2f} {r['unit']:<22} {r['limit_value']:>10.2f}  {r['ratio']:>6.2f}  {r['bar']:<8} "
              f"{'yes' if r['met'] else 'NO'}   vs {r['limit']}{'; ' if r['notes'] else ''}{r['notes']}")
    built = [r for r in rows if r["met"] is not None]
    print(f"\n{sum(r['met'] for r in built)} of {len(built)} bars met")
