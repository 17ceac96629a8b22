/*
 * Reserve, settle, release: one budget, two workers, a daemon that may crash between any two steps. What is modelled, and what is not: README.md here.
 * FAULT (none by default) plants a fault that the check must find: 1 a reservation can be released again; 2 the rest is looked at when a request
 * comes, not in its step; 3 a settlement of what was released already is taken; 4 answers leave before the commit; 5 what nobody settles is kept.
 */
#ifndef FAULT
#define FAULT 0
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define WORKERS 2
#ifndef TRIES
#define TRIES 2 /* reservations of each worker, one after the other */
#endif
#define BUDGET  3
#define AMOUNT  2 /* of one reservation: two do not fit at once */
#define IDS     4

mtype = { idle, reserve, settle, release };
mtype = { granted, taken, refused, lost };
mtype = { none, open, ended };

typedef record { mtype state[IDS]; byte ends[IDS]; byte reserved, settled; bool overrun; byte index };
record memory, disk;

mtype asked[WORKERS], pending[WORKERS], answer[WORKERS];
byte  id[WORKERS];      /* of the reservation that a worker has, or asks for */
byte  cost[WORKERS];    /* what it settles */
byte  pending_cost[WORKERS];
byte  seen[WORKERS];    /* fault 2: the rest, as it was when the request came */
bool  works[WORKERS];   /* it has been told of its reservation and is at it */
byte  crashes, told;    /* told: what was settled, as far as the world knows */

inline copy(to, from)
{
    to.state[0] = from.state[0]; to.state[1] = from.state[1]; to.state[2] = from.state[2]; to.state[3] = from.state[3];
    to.ends[0] = from.ends[0]; to.ends[1] = from.ends[1]; to.ends[2] = from.ends[2]; to.ends[3] = from.ends[3];
    to.reserved = from.reserved; to.settled = from.settled; to.overrun = from.overrun; to.index = from.index
}

inline check()
{
    assert(memory.overrun || memory.settled + memory.reserved <= BUDGET); /* never passed, but by an overrun that stands in the log */
    assert(memory.ends[0] <= 1 && memory.ends[1] <= 1 && memory.ends[2] <= 1 && memory.ends[3] <= 1) /* each ends once */
}

inline tell(w)
{
    if
    :: pending[w] == idle
    :: pending[w] != idle ->
        if
        :: pending[w] == taken -> told = told + pending_cost[w]; assert(told <= disk.settled) /* what was told stands */
        :: else
        fi;
        answer[w] = pending[w]
    fi;
    pending[w] = idle; pending_cost[w] = 0
}

inline finish(i, money)
{
    memory.reserved = memory.reserved - AMOUNT; memory.settled = memory.settled + money;
    memory.state[i] = ended; memory.ends[i]++; memory.index++
}

inline step(w)
{
    if
    :: asked[w] == reserve ->
        if
        :: memory.state[id[w]] == none && !memory.overrun && (FAULT == 2 -> seen[w] : BUDGET - memory.reserved - memory.settled) >= AMOUNT ->
            memory.state[id[w]] = open; memory.reserved = memory.reserved + AMOUNT; memory.index++; pending[w] = granted
        :: memory.state[id[w]] == open -> pending[w] = granted /* asked again */
        :: else -> pending[w] = refused
        fi
    :: asked[w] == settle ->
        if
        :: memory.state[id[w]] == open || (FAULT == 3 && memory.state[id[w]] == ended) ->
            finish(id[w], cost[w]); pending[w] = taken; pending_cost[w] = cost[w];
            if
            :: cost[w] > AMOUNT -> memory.overrun = true
            :: else
            fi
        :: else -> pending[w] = refused
        fi
    :: asked[w] == release ->
        if
        :: memory.state[id[w]] == open || (FAULT == 1 && memory.state[id[w]] == ended && memory.ends[id[w]] == 1) -> finish(id[w], 0); pending[w] = taken
        :: else -> pending[w] = refused
        fi
    fi;
    asked[w] = idle;
    check()
}

proctype daemon()
{
end:
    do
    :: atomic { asked[0] != idle -> step(0);
        if
        :: FAULT == 4 -> tell(0)
        :: else
        fi }
    :: atomic { asked[1] != idle -> step(1);
        if
        :: FAULT == 4 -> tell(1)
        :: else
        fi }
    :: atomic { asked[0] == idle && asked[1] == idle && (pending[0] != idle || pending[1] != idle || memory.index != disk.index) ->
        copy(disk, memory); tell(0); tell(1) }
    od
}

/* The rule: what its lease has left, whether its worker died, or only forgot it, or the answer was lost in a crash; or is only slow. */
proctype clock()
{
end:
    do
    :: atomic { FAULT != 5 && memory.state[0] == open && pending[0] == idle -> finish(0, 0); check() }
    :: atomic { FAULT != 5 && memory.state[1] == open && pending[0] == idle -> finish(1, 0); check() }
    :: atomic { FAULT != 5 && memory.state[2] == open && pending[1] == idle -> finish(2, 0); check() }
    :: atomic { FAULT != 5 && memory.state[3] == open && pending[1] == idle -> finish(3, 0); check() }
    :: FAULT == 5 -> skip
    od
}

proctype crash()
{
    byte w;
    do
    :: atomic { crashes < CRASHES -> crashes++; copy(memory, disk);
        for (w : 0 .. WORKERS - 1) {
            if
            :: asked[w] != idle || pending[w] != idle -> answer[w] = lost
            :: else
            fi;
            asked[w] = idle; pending[w] = idle; pending_cost[w] = 0
        }
        w = 0 }
    :: break
    od
}

inline ask(w, what)
{
    atomic { asked[w] = what; seen[w] = (FAULT == 2 -> BUDGET - memory.reserved - memory.settled : 0) }
    answer[w] != idle
}

proctype worker(byte w)
{
    byte tries;
    do
    :: tries < TRIES ->
        id[w] = w * TRIES + tries; tries++;
again:  ask(w, reserve);
        if
        :: atomic { answer[w] == lost -> answer[w] = idle } goto again
        :: atomic { answer[w] == refused -> answer[w] = idle }
        :: atomic { answer[w] == granted -> answer[w] = idle; works[w] = true }
            if
            :: cost[w] = 1; ask(w, settle)
            :: cost[w] = AMOUNT; ask(w, settle)
            :: cost[w] = AMOUNT + 1; ask(w, settle) /* an overrun */
            :: ask(w, release)
            :: ask(w, release); atomic { answer[w] = idle } ask(w, release) /* a second time */
            :: break /* dies */
            fi;
            atomic { answer[w] = idle; works[w] = false; cost[w] = 0 }
        fi
    :: tries == TRIES -> break
    od
}

init {
    byte w;
    atomic {
        for (w : 0 .. IDS - 1) { memory.state[w] = none; disk.state[w] = none }
        for (w : 0 .. WORKERS - 1) { asked[w] = idle; pending[w] = idle; answer[w] = idle }
        w = 0;
        run daemon(); run clock(); run crash(); run worker(0); run worker(1)
    }
}

ltl ends { <> [] (disk.reserved == 0) } /* under weak fairness nothing stays reserved */
