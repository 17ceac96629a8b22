"""Tasks and money: three swarms, thirty tasks by real workers, one of them killed, help for who is blocked, poison, and a budget that ends exactly."""
import json
import os
import signal
import subprocess
import time

from stage import BUILD, Show, chapter, expect, tell

PATIENCE = 60  # seconds for what has to come; nothing is measured
JOB = r"""#!/bin/sh
# What a worker runs for each task: the task is on stdin, its id and fence in the environment.
cat > /dev/null
case $IFAB_TASK in
slow)
    if [ ! -e "$MARKS/slow" ]; then : > "$MARKS/slow"; exec sleep 600; fi
    echo '"finished by another"' ;;
poison)
    [ -e "$MARKS/mended" ] || exit 65
    echo '"good after all"' ;;
blocked)
    "$IFCTL" task block --needs go --note "the parser is in Go" > /dev/null || exit 75
    until "$IFCTL" task show "$IFAB_TASK" -o json | grep -q '"state": *"running"'; do sleep 0.1; done
    echo '"went on when its helper was done"' ;;
*)
    echo '{"rows":1}' ;;
esac
"""


class Crew:
    """Workers: ifctl worker run, each a process of its own."""

    def __init__(self, show):
        self.show, self.running = show, []
        self.job = f"{show.root}/job.sh"
        with open(self.job, "w", encoding="utf-8") as file:
            file.write(JOB.replace("$MARKS", show.root).replace('"$IFCTL"', f'"{BUILD}/ifctl"'))
        os.chmod(self.job, 0o755)

    def hire(self, swarm, *more):
        env = {**os.environ, "IFAB_DIR": self.show.dir, "NO_COLOR": "1"}
        worker = subprocess.Popen([f"{BUILD}/ifctl", "worker", "run", "--swarm", swarm, "--lease", "3s", *more, "--", self.job], env=env,
                                  stdout=subprocess.DEVNULL, stderr=open(f"{self.show.root}/workers.log", "ab"))
        self.running.append(worker)
        return worker

    def dismiss(self):
        for worker in self.running:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        return {worker.wait(PATIENCE) for worker in self.running}


def until(what, seen):
    end = time.monotonic() + PATIENCE
    while not (value := seen()):
        if time.monotonic() > end:
            expect(what, "not within a minute", True)
        time.sleep(0.05)
    return value


def state(show, task):
    return show.json("task", "show", task)["state"]


def the_work(show, crew):
    chapter("Three swarms, thirty tasks")
    for swarm, skills in (("data", "sql,python"), ("web", "js,css"), ("systems", "go,c")):
        show.ctl("swarm", "register", swarm, "--skills", skills, why="the night shift")
    for task, needs, more in (("slow", "sql", ("--priority", "P0")), ("poison", "js", ("--max-attempts", "1")), ("blocked", "js", ())):
        show.ctl("task", "create", task, "--type", "job", "--needs", needs, *more, why="tonight's work")
    for i in range(27):
        show.ctl("task", "create", f"t{i:02}", "--type", "job", "--needs", ("sql", "js", "go")[i % 3], why="tonight's work")
    expect("thirty wait", len(show.json("task", "list", "--limit", "100")["items"]), 30)

    chapter("A worker is killed with -9 in the middle of a task")
    first = crew.hire("data")
    until("the slow one is taken", lambda: os.path.exists(f"{show.root}/slow"))
    fence = show.json("task", "show", "slow")["fence"]
    first.kill()
    first.wait()
    crew.running.remove(first)
    for swarm in ("data", "web", "systems", "data"):
        crew.hire(swarm)
    until("it is finished", lambda: state(show, "slow") == "done")
    expect("another worker finished it", show.json("task", "show", "slow").get("result"), "finished by another")
    late = show.ctl("task", "complete", "slow", "--fence", str(fence), check=False)
    expect("the late complete of the dead one is refused as stale", "IF_ERR_603" in late.stderr, True)

    chapter("One is blocked, one is poison")
    until("the blocked one is done", lambda: state(show, "blocked") == "done")
    expect("the swarm that can Go was asked, and the blocked task went on", show.json("task", "show", "blocked").get("result"), "went on when its helper was done")
    until("all but the poison are done", lambda: [t["id"] for t in show.json("task", "list")["items"]] == ["poison"])
    expect("the poison one is dead, listed, and waits for a person", [t["id"] for t in show.json("task", "list", "--state", "dead")["items"]], ["poison"])
    with open(f"{show.root}/mended", "w", encoding="utf-8"):
        pass
    show.ctl("task", "replay", "poison", why="the job was mended")
    until("replayed", lambda: state(show, "poison") == "done")
    expect("replayed after the mend, it is done", show.json("task", "show", "poison").get("result"), "good after all")
    expect("the workers end as told", crew.dismiss(), {0})


def the_money(show):
    chapter("A budget that stops a swarm at exactly its limit")
    show.ctl("budget", "set", "purse", "--subject", "swarm:web", "--usd", "1.00", "--period", "total", why="a pilot")
    for i in range(8):
        show.ctl("task", "create", f"paid{i}", "--type", "job", "--needs", "js", "--swarm", "web", "--priority", "P0", "--budget", "usd=0.20", why="paid work")
    paid = show.ctl("worker", "run", "--swarm", "web", "--wait", "3s", "--", "sh", "-c", """printf '{"usd_micro":200000}' > "$IFAB_TASK_COST\"""")
    expect("a worker does what the budget has room for, waits, and ends as told", paid.returncode, 0)
    claim = show.ctl("task", "next", "--swarm", "web", check=False)
    expect("five times $0.20 are taken: the sixth is refused, the budget is spent", "IF_ERR_301" in claim.stderr, True)
    expect("three still wait", len(show.json("task", "list", "--state", "queued")["items"]), 3)
    report = show.json("cost", "report", "--by", "swarm")
    tell(f"cost report: {json.dumps(report)[:160]}")
    expect("the report sums to the limit", report["total"]["usd_micro"], 1000000)
    expect("and so do its groups", sum(group["usd_micro"] for group in report["items"]), 1000000)


def play():
    show = Show()
    crew = None
    try:
        show.ctl("init", show.dir, "--http", "")
        show.start()
        crew = Crew(show)
        the_work(show, crew)
        the_money(show)
        chapter("All of it stands in the log")
        show.ctl("witness", "export", "--out", f"{show.root}/export")
        vkey = show.ctl("witness", "vkey").stdout.strip()
        expect("and verifies offline", subprocess.run([f"{BUILD}/if-verify", f"{show.root}/export", "--vkey", vkey], capture_output=True, check=False).returncode, 0)
        expect("ifd ends cleanly", show.end(), 0)
    finally:
        if crew:
            for worker in crew.running:
                if worker.poll() is None:
                    worker.kill()
        show.stop()
