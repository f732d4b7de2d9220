"""
The quota of one token as a pure state machine: whether a request may be sent now, and if not, when.

Nobody outside Genesys knows whether its windows are fixed or slide, nor when in an exchange a request is counted. So
the account rests on what is safe in any case, and goes beyond it only on evidence:

    by itself    A permit is charged from when it is taken until a window after its reply. Whatever the server does, no
                 window of its can hold more than the limit.
    by headers   Where the `inin-ratelimit-*` headers agree with our own counts, they show what others use of the token
                 and when the window ends. The first request after that end is a probe, and its reply opens the next
                 window. Where no window ends, the newest count shows what is left, beside others less a margin.
    by refusals  A 429 pauses all requests. It shows when the window ends and, if it comes early, a lower limit or the
                 presence of others. From then on permits are given out more carefully, and the limit learnt is raised
                 again slowly.

Headers that contradict what is known are not believed again. Headers that allowed a permit beyond what is safe in any
case, and it was refused, are believed from then on only where they hold back. So a client that is alone and knows the
limit gets no 429 for anything sent later than a window after the first 429, whatever the headers say.

    account      the class that callers use
    evidence     what replies have taught: room, limit in force
    window       the fixed window that the server may count in
    count        the newest count, where no window ends
    headers      the headers of a reply, and how far they are believed
    ledger       the permits taken, answered and returned, and the latency
    ceiling      the limit that refusals taught
    caution      how long permits are given out carefully, and the probe
    concurrency  how many requests may be in flight
    shortcut     until when the last decision holds
    permit       the values that callers see
    unlimited    the account of a token without a limit
"""
