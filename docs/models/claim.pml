/*
 * Claim, lease, fence: one task, three workers, a daemon that may crash between any two steps. What is modelled, and what is not: README.md here.
 * FAULT (none by default) plants a fault that the check must find: 1 a completion is taken without looking at its fence; 2 answers leave before the
 * commit; 3 fences are counted in memory and begin anew at a start; 4 a lease that runs out loses the task; 5 a claim is let through while another
 * has the task.
 */
#ifndef FAULT
#define FAULT 0
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#define WORKERS  3
#ifndef TRIES
#define TRIES 1 /* claims of each worker that may be forgotten or die; worker 0 goes on for ever */
#endif
#define EXPIRIES 1 /* leases that run out on a worker that still works: it was slow */

mtype = { queued, claimed, done, gone };        /* the task */
mtype = { idle, claim, complete };              /* what is asked */
mtype = { granted, again, taken, refused, lost }; /* what is told */

typedef record { mtype state; byte owner; byte fence; byte index }; /* the task's record, and the length of the log */
record memory, disk;

mtype asked[WORKERS];        /* a request on its connection */
byte  shown[WORKERS];        /* its fence */
mtype pending[WORKERS];      /* an answer that waits for the commit */
byte  pending_fence[WORKERS];
mtype answer[WORKERS];       /* idle: none */
byte  answer_fence[WORKERS];
byte  holds[WORKERS];        /* the fence that a worker believes in; 0: none */
bool  alive[WORKERS];
byte  crashes, expiries, counted;
/* what was told to the world */
byte  most;                  /* the largest fence */
bool  acknowledged;          /* a completion */

inline save() { disk.state = memory.state; disk.owner = memory.owner; disk.fence = memory.fence; disk.index = memory.index }
inline load() { memory.state = disk.state; memory.owner = disk.owner; memory.fence = disk.fence; memory.index = disk.index }

/* One answer leaves. A fresh claim's fence is larger than all that were told; a completion that counts is that of the newest claim, and the only one. */
inline tell(w)
{
    if
    :: pending[w] == granted -> assert(pending_fence[w] > most); most = pending_fence[w]
    :: pending[w] == taken -> assert(!acknowledged); assert(pending_fence[w] == most); acknowledged = true
    :: else
    fi;
    if
    :: pending[w] != idle && alive[w] -> answer[w] = pending[w]; answer_fence[w] = pending_fence[w]
    :: !alive[w] && pending[w] == granted && memory.state == claimed && memory.fence == pending_fence[w] -> /* nobody heard of it: given back */
        memory.state = queued; memory.index++
    :: else
    fi;
    pending[w] = idle; pending_fence[w] = 0
}

inline step_claim(w)
{
    if
    :: memory.state == queued || (FAULT == 5 && memory.state == claimed && memory.owner != w) ->
        memory.index++; counted++;
        memory.state = claimed; memory.owner = w;
        memory.fence = (FAULT == 3 -> counted : memory.index);
        pending[w] = granted
    :: FAULT != 5 && memory.state == claimed && memory.owner != w -> pending[w] = refused
    :: memory.state == claimed && memory.owner == w -> pending[w] = again
    :: memory.state == done || memory.state == gone -> pending[w] = refused
    fi;
    pending_fence[w] = memory.fence
}

inline step_complete(w)
{
    if
    :: memory.state == claimed && (memory.fence == shown[w] || FAULT == 1) ->
        memory.state = done; memory.index++; pending[w] = taken
    :: else -> pending[w] = refused
    fi;
    pending_fence[w] = shown[w]
}

proctype daemon()
{
    byte w;
end:
    do
    :: atomic { /* a step: one request, in memory */
        asked[0] != idle || asked[1] != idle || asked[2] != idle ->
        if
        :: asked[0] != idle -> w = 0
        :: asked[1] != idle -> w = 1
        :: asked[2] != idle -> w = 2
        fi;
        if
        :: asked[w] == claim -> step_claim(w)
        :: asked[w] == complete -> step_complete(w)
        fi;
        asked[w] = idle;
        if
        :: FAULT == 2 -> tell(w)
        :: else
        fi;
        w = 0
       }
    :: atomic { /* a commit, of all that has come: durable, then all that was decided is told */
        asked[0] == idle && asked[1] == idle && asked[2] == idle &&
        (pending[0] != idle || pending[1] != idle || pending[2] != idle || memory.index != disk.index) ->
        save();
        tell(0); tell(1); tell(2)
       }
    od
}

proctype clock()
{
end:
    do
    :: atomic { /* a lease runs out: always on one that has died or forgotten; now and then on one that works */
        memory.state == claimed && pending[memory.owner] == idle &&
        (!alive[memory.owner] || (holds[memory.owner] != memory.fence && answer[memory.owner] == idle && asked[memory.owner] == idle) || expiries < EXPIRIES) ->
        if
        :: alive[memory.owner] && holds[memory.owner] == memory.fence -> expiries++
        :: alive[memory.owner] && holds[memory.owner] != memory.fence && (answer[memory.owner] != idle || asked[memory.owner] != idle) -> expiries++
        :: else
        fi;
        memory.state = (FAULT == 4 -> gone : queued); memory.index++
       }
    od
}

proctype crash() /* what was not committed has not been; every connection is gone */
{
    byte w;
    do
    :: atomic {
        crashes < CRASHES ->
        crashes++; counted = 0;
        load();
        for (w : 0 .. WORKERS - 1) {
            if
            :: alive[w] && (asked[w] != idle || pending[w] != idle) -> answer[w] = lost
            :: else
            fi;
            asked[w] = idle; shown[w] = 0; pending[w] = idle; pending_fence[w] = 0
        }
        w = 0
       }
    :: crashes == CRASHES -> break
    :: crashes < CRASHES -> break
    od
}

inline ask(w, what, fence) { atomic { asked[w] = what; shown[w] = fence } }

inline hear(w)
{
    atomic {
        answer[w] != idle ->
        if
        :: answer[w] == granted || answer[w] == again -> holds[w] = answer_fence[w]
        :: answer[w] == taken || answer[w] == refused -> holds[w] = 0
        :: answer[w] == lost /* asked again, or not */
        fi;
        answer[w] = idle; answer_fence[w] = 0
    }
}

proctype steady() /* worker 0: never gives up */
{
    do
    :: disk.state == done && asked[0] == idle && answer[0] == idle -> break
    :: disk.state != done && holds[0] == 0 -> ask(0, claim, 0); hear(0)
    :: disk.state != done && holds[0] != 0 -> ask(0, complete, holds[0]); hear(0)
    od
}

proctype fickle(byte w) /* claims, forgets, comes late, dies at any moment */
{
    byte tries;
    do
    :: tries < TRIES -> tries++; ask(w, claim, 0);
        if
        :: hear(w)
        :: atomic { alive[w] = false; holds[w] = 0; answer[w] = idle; answer_fence[w] = 0 } break
        fi
    :: holds[w] != 0 -> ask(w, complete, holds[w]); hear(w)
    :: holds[w] != 0 -> holds[w] = 0 /* forgets it */
    :: atomic { alive[w] = false; holds[w] = 0; answer[w] = idle; answer_fence[w] = 0 } break
    od
}

init {
    byte w;
    atomic {
        memory.state = queued; disk.state = queued;
        for (w : 0 .. WORKERS - 1) { asked[w] = idle; pending[w] = idle; answer[w] = idle; alive[w] = true }
        w = 0;
        run daemon(); run clock(); run crash(); run steady(); run fickle(1); run fickle(2)
    }
}

ltl kept { [] (acknowledged -> disk.state == done) }    /* what was told stands, whatever crashes */
ltl ends { <> (disk.state == done) }                    /* no task is lost: under weak fairness it is done in the end */
