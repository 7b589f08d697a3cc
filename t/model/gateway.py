#!/usr/bin/env python3

"""Is a request that arrived after the success answer ever admitted?

Explores every interleaving of what a gateway, the Redis of its environment and
deletes do, as doc/gateways.md describes it: the design, which must hold, what
changes nothing, and variants that break a rule each, which must be found out.

    t/model/gateway.py [full] [NAME ...]

What keeps it small, and leaves nothing out:

- Times are counted from now: how many ticks a lease or a wait still lasts.  So
  the clock needs no end.
- One credential is watched.  Deletes of others are those of "another" one.
- One gateway is watched.  Others can only make a delete wait longer.
- A request that is not late is not followed, since it may be admitted.  What it
  leaves behind is: a lookup may begin at any time.
- Of the sequence and the counters only one question is ever asked: has the
  credential been invalidated since the lookup noted the sequence?  So each copy
  has the answer to that, `current`.
- An undeployment and its reply are one step: a late reply only makes the wait
  begin later.
"""

import sys
from collections import deque
from typing import NamedTuple, Optional, Union

# a copy is asked for, read by Redis (the reply is under way), or in the cache
SENT, READ, CACHED = 'sent', 'read', 'cached'

# A late request has joined its lookup or found it in the cache; its lookup was
# sent after it arrived; it has passed the first of the two checks
NOBODY, JOINED, OWN, PASSED = 'nobody', 'joined', 'own', 'passed'

# replies to a lease call that was SENT
LEASED, ENTRIES, FORGET = 'leased', 'entries', 'forget'

ANSWERED, VIOLATED = 'answered', None

# Where ids begin: those of the stream, and of the one after it was lost, whose
# clock may have been set back.  None comes twice
FIRST_ID = {'first': 10, 'back': 5, 'later': 105}
NOTHING, EMPTY = -1, 0


class Copy(NamedTuple):
    """That the watched credential is deployed, as the gateway knows it."""
    where: str
    current: bool
    request: str


class Call(NamedTuple):
    """A call of lease.lua, or the reply to it, under way."""
    stage: str
    length: int             # of the lease, when it was sent
    left: int               # of a lease of this length since it was sent
    id: int                 # what it says is applied; then the reply's last
    watched: bool = False   # is the watched one among the reply's entries?


class Note(NamedTuple):
    """A field of P:gateways."""
    field: int
    length: int
    applied: int
    seen: int


class Delete(NamedTuple):
    """An undeployment whose deleter waits for the gateways."""
    id: int
    left: int               # of the longest lease since the reply


class State(NamedTuple):
    # the environment's Redis
    stream: tuple = ()      # P:undeployments: (id, of which credential)
    ids: str = 'first'
    notes: tuple = ()       # P:gateways
    # the gateway
    applied: int = NOTHING
    until: int = 0          # how long the lease still lasts
    length: int = 0
    copies: tuple = ()
    calls: tuple = ()
    believes: bool = False  # that the lease lasts, by nginx's cached time
    # the deletes of the watched credential and of another one
    watched: Union[Delete, str, None] = None
    another: Optional[Delete] = None
    excused: int = 0        # how long it still matters that P:gateways was lost


class Scenario(NamedTuple):
    begin: bool = False     # with a new stream and a new gateway?
    lengths: tuple = (2,)   # of the lease; reloads change it
    grow: bool = True       # do they make it longer, too?
    copies: int = 1         # at most, with lookups under way
    calls: int = 2          # at most, under way
    entries: int = 2        # at most, in the stream, of which one is no delete
    another: bool = False   # is another credential deleted?
    loses: str = ''         # a key that Redis loses


SHORT = {
    'requests': Scenario(copies=2),
    'lengths': Scenario(lengths=(2, 1)),
    'shorter': Scenario(lengths=(2, 1), grow=False),
    'deletes': Scenario(lengths=(1,), entries=3, another=True),
    'stream': Scenario(begin=True, calls=1, loses='stream'),
    'streams': Scenario(lengths=(1,), calls=1, another=True, loses='stream'),
    'gateways': Scenario(loses='gateways'),
}

FULL = {
    'requests': Scenario(begin=True, copies=3, entries=3),
    'lengths': Scenario(lengths=(3, 1)),
    'calls': Scenario(lengths=(2, 1), calls=3),
    'shorter': Scenario(lengths=(3, 2, 1), grow=False),
    'deletes': Scenario(entries=4, another=True),
    'stream': Scenario(begin=True, loses='stream'),
    'streams': Scenario(another=True, loses='stream'),
    'gateways': Scenario(entries=3, another=True, loses='gateways'),
}

# name, scenario, what is broken besides, and what is done instead of the rule

VARIANTS = [
    # copies
    ('cachedclock', 'requests', '', "leases are compared with nginx's time"),
    ('nocounter', 'requests', '', 'copies are used, invalidated or not'),
    ('noinvalidate', 'requests', '', 'entries are applied, copies stay'),
    ('countatreply', 'requests', '', 'the sequence is noted at the reply'),
    ('counterfirst', 'requests', '', 'the counter is checked, then the lease'),
    ('joinany', 'requests', '', 'any lookup under way will do'),
    # leases
    ('fromreply', 'requests', '', 'a lease counts from the reply'),
    ('eagerlease', 'requests', '', 'a lease begins, then entries are applied'),
    ('appliedfirst', 'requests', '', 'entries are applied, then copies go'),
    ('samename', 'requests', '', 'another nginx has the same name'),
    # waits
    ('pubsubonly', 'requests', '', 'nobody waits'),
    ('shortwait', 'requests', '', 'the wait is a tick shorter than the lease'),
    ('removeany', 'deletes', '', 'whoever is outwaited is removed'),
    # leases of several lengths
    ('onefield', 'lengths', '', 'one field, but old calls give no lease'),
    ('onegeneration', 'lengths', 'onefield',
     'the same, where old is what was sent before a reload'),
    ('maxlease', 'shorter', 'onefield nolength',
     'one field, a longer lease is not cut, old calls give one'),
    ('nolength', 'shorter', 'onefield', 'one field, old calls give a lease'),
    ('waitnow', 'shorter', 'onefield',
     'one field, leases are read when the wait ends'),
    # losses
    ('noteunknown', 'stream', '', 'an unknown APPLIED is noted as said'),
    ('noreset', 'stream', '', 'ids from before are not reset'),
    ('noentry', 'streams', '', 'effective.lua does not look for its entry'),
    ('emptyfits', 'stream', '', '0-0 fits an empty stream'),
    ('noexcuse', 'gateways', '', 'P:gateways was lost less than a lease ago'),
]

NEEDLESS = [
    ('onefield', 'shorter', '', 'one field, if leases only get shorter'),
    ('cut', 'lengths', '', 'a longer lease is cut, old calls give none'),
    ('waitnow', 'lengths', '', 'leases are read when the wait ends'),
    ('entrieslease', 'deletes', '', 'a lease once the entries are applied'),
    ('entrieslease', 'stream', '', 'the same'),
]


class Model:
    """Yields pairs of what may happen next and the state after it."""

    def __init__(self, scenario, broken):
        self.scenario, self.broken = scenario, frozenset(broken)

    def start(self):
        first = FIRST_ID['first']
        state = State(length=self.scenario.lengths[0])

        return state if self.scenario.begin else state._replace(
            stream=((first, 'none'),), applied=first)

    def steps(self, s):
        yield 'tick', self.tick(s)
        if 'cachedclock' in self.broken:
            yield 'time update', s._replace(believes=s.until > 0)

        late = s.watched == ANSWERED and not s.excused
        if len(s.copies) < self.scenario.copies:
            copy = Copy(SENT, True, OWN if late else NOBODY)
            yield ('late request asks' if late else 'lookup sent',
                   s._replace(copies=in_order(s.copies + (copy,))))
        for copy, others in each(s.copies):
            yield from self.copy(s, copy, others, late)

        if len(s.calls) < self.scenario.calls:
            call = Call(SENT, s.length, s.length, s.applied)
            yield (f'call ({s.length})',
                   s._replace(calls=self.under_way((*s.calls, call))))
        for call, others in each(s.calls):
            yield from self.call(s, call, others)

        for length in self.scenario.lengths:
            if length < s.length or length > s.length and self.scenario.grow:
                yield f'reload ({length})', self.reload(s, length)

        yield from self.delete(s, 'watched')
        if self.scenario.another:
            yield from self.delete(s, 'another')

        if self.scenario.loses == 'stream' and s.ids == 'first':
            for ids in 'back', 'later':
                yield f'stream lost, {ids}', s._replace(stream=(), ids=ids)
        if self.scenario.loses == 'gateways' and s.notes:
            yield 'gateways lost', s._replace(notes=(), excused=(
                0 if 'noexcuse' in self.broken else max(self.scenario.lengths)))

    def tick(self, s):
        return s._replace(
            until=less(s.until), excused=less(s.excused),
            calls=self.under_way([call._replace(left=less(call.left))
                                  for call in s.calls]),
            watched=waited(s.watched), another=waited(s.another))

    # lookups, the cache, and late requests that meet them

    def copy(self, s, copy, others, late):
        def become(**changes):
            return s._replace(copies=in_order(
                others + (copy._replace(**changes),)))

        gone = s._replace(copies=others)
        yield 'copy dropped', gone

        if late and copy.request == NOBODY:
            yield 'late request', become(request=JOINED)

        if copy.where == SENT:
            yield 'lookup read', become(where=READ) if not s.watched else gone

        elif copy.where == READ:
            if (copy.request == OWN
                    or copy.request == JOINED and 'joinany' in self.broken):
                yield 'ADMITTED', VIOLATED
            yield 'lookup reply', become(
                where=CACHED,
                current=copy.current or 'countatreply' in self.broken)

        # the lease first: another process may do anything between the checks
        else:
            lease = (s.believes if 'cachedclock' in self.broken
                     else s.until > 0)
            current = copy.current or 'nocounter' in self.broken
            first, second = ((current, lease) if 'counterfirst' in self.broken
                             else (lease, current))

            if copy.request == JOINED and first:
                yield 'first check', become(request=PASSED)
            if copy.request == PASSED and second:
                yield 'ADMITTED', VIOLATED

    # lease calls: of any worker, at any time, overtaken, and lost both ways

    def call(self, s, call, others):
        which = f'({call.length})'

        if call.stage == SENT:
            yield f'call {which} lost', s._replace(calls=others)
            yield f'lease.lua {which}', self.lease_lua(s, call, others)
        else:
            yield f'reply {which} lost', s._replace(calls=others)
            yield f'{call.stage} {which}', self.reply(s, call, others)

        if 'samename' in self.broken and s.stream:
            yield 'call of another nginx', self.note(s, s.length, last_id(s))

    def under_way(self, calls):
        """Those that may still matter: a lease that is over is no reply."""
        return in_order([call for call in calls
                         if call.stage != LEASED or call.left
                         or 'fromreply' in self.broken])

    def note(self, s, length, applied):
        field = 0 if 'onefield' in self.broken else length
        others = [note for note in s.notes if note.field != field]

        return s._replace(notes=in_order(
            others + [Note(field, length, applied, last_id(s))]))

    def lease_lua(self, s, call, others):
        # none is empty, which would be like any other that is
        if not s.stream and 'emptyfits' not in self.broken:
            s = s._replace(stream=((FIRST_ID[s.ids], 'none'),))

        last = last_id(s)
        known = has_entry(s, call.id) or last == call.id == EMPTY
        stage = (FORGET if not known else LEASED if call.id == last
                 else ENTRIES)
        left = (call.left if stage == LEASED
                or self.broken & {'eagerlease', 'entrieslease'} else 0)
        watched = stage == ENTRIES and any(
            id > call.id and name == 'watched' for id, name in s.stream)

        s = self.note(s, call.length,
                      call.id if known else max(call.id, EMPTY)
                      if 'noteunknown' in self.broken else EMPTY)
        reply = Call(stage, call.length, left, last, watched)
        return s._replace(calls=self.under_way((*others, reply)))

    def reply(self, s, call, others):
        if call.stage == LEASED:
            return self.lease(s, call)._replace(calls=others)

        if call.left and 'eagerlease' in self.broken:
            again = call._replace(left=0)
            return self.lease(s, call)._replace(
                calls=self.under_way((*others, again)))

        # copies first: what is applied is what other workers say
        if 'appliedfirst' in self.broken and s.applied != call.id:
            return s._replace(applied=call.id)
        if ((call.watched or call.stage == FORGET)
                and 'noinvalidate' not in self.broken):
            s = s._replace(copies=in_order(
                [copy._replace(current=False) for copy in s.copies]))

        s = s._replace(calls=others, applied=call.id)
        return self.lease(s, call) if call.left else s

    def lease(self, s, call):
        if (self.broken & {'onefield', 'cut'} and call.length != s.length
                and 'nolength' not in self.broken):
            return s
        return s._replace(until=max(s.until, call.length
                                    if 'fromreply' in self.broken
                                    else call.left))

    def reload(self, s, length):
        s = s._replace(length=length)
        if 'onegeneration' in self.broken:
            s = s._replace(calls=self.under_way(
                [call._replace(left=0) for call in s.calls]))
        if self.broken & {'onefield', 'cut'} and 'maxlease' not in self.broken:
            s = s._replace(until=min(s.until, length))
        return s

    # deletes; whoever finds one pending may undeploy again

    def delete(self, s, name):
        delete = getattr(s, name)
        if delete == ANSWERED:
            return

        if len(s.stream) < self.scenario.entries:
            after = self.undeploy_lua(s, name)
            yield f'undeploy {name}', (after if s.notes
                                       else answered(after, name))

        if delete and (has_entry(s, delete.id) or 'noentry' in self.broken):
            yield from self.effective_lua(s, name, delete)

    def undeploy_lua(self, s, name):
        id = FIRST_ID[s.ids] + 10 * len(s.stream)
        notes = s.notes
        if 'noreset' not in self.broken:
            notes = [note._replace(
                applied=note.applied if note.applied < id else EMPTY,
                seen=note.seen if note.seen < id else EMPTY) for note in notes]

        wait = (max(self.scenario.lengths) if 'waitnow' in self.broken
                else longest(s))
        return s._replace(stream=s.stream + ((id, name),),
                          notes=in_order(notes), **{name: Delete(id, wait)})

    def effective_lua(self, s, name, delete):
        behind = [note for note in s.notes if note.applied < delete.id]
        left = delete.left
        if 'shortwait' in self.broken:
            left -= 1
        if 'waitnow' in self.broken:
            left -= max(self.scenario.lengths) - longest(s)

        if not behind:
            yield f'{name} is applied', answered(s, name)
        elif left <= 0:
            kept = [note for note in s.notes if note not in behind
                    or (note.seen >= delete.id
                        and 'removeany' not in self.broken)]
            yield (f'{name} is outwaited',
                   answered(s._replace(notes=tuple(kept)), name))
        elif 'pubsubonly' in self.broken:
            yield f'{name} is answered', answered(s, name)


def less(ticks):
    return max(0, ticks - 1)


def waited(delete):
    return (delete._replace(left=less(delete.left))
            if isinstance(delete, Delete) else delete)


def in_order(things):
    """What has no order of its own gets one, so that equal states are one."""
    return tuple(sorted(things))


def each(things):
    for i, thing in enumerate(things):
        yield thing, things[:i] + things[i + 1:]


def has_entry(s, id):
    return any(id == entry for entry, _ in s.stream)


def last_id(s):
    return s.stream[-1][0] if s.stream else EMPTY


def longest(s):
    return max([note.length for note in s.notes], default=0)


def answered(s, name):
    """Only the watched one stays so: of others there are more."""
    return s._replace(**{name: ANSWERED if name == 'watched' else None})


def explore(model):
    """Returns how many states were seen, and a shortest way to a violation."""
    start = model.start()
    before, queue = {start: None}, deque([start])

    while queue:
        state = queue.popleft()
        for what, after in model.steps(state):
            if after is VIOLATED:
                way = [what]
                while before[state]:
                    state, what = before[state]
                    way.append(what)
                return len(before), ' > '.join(reversed(way))
            if after not in before:
                before[after] = state, what
                queue.append(after)

    return len(before), None


def run(scenario, must_hold, name, place, besides, words):
    states, way = explore(Model(scenario, [name, *besides.split()]))
    good = (way is None) == must_hold

    print('as expected' if good else 'NOT AS EXPECTED',
          f'{name} in {place}, {words}',
          f'{states} states, ' + ('holds' if way is None else 'VIOLATED'),
          *([way] if way else []), sep=': ', flush=True)
    return good


def main(arguments):
    full = 'full' in arguments
    names = set(arguments) - {'full'}

    runs = [(scenario, True, 'design', place, '', 'as it is')
            for place, scenario in (FULL if full else SHORT).items()]
    if full or names:
        runs += [(SHORT[variant[1]], True, *variant) for variant in NEEDLESS]
    runs += [(SHORT[variant[1]], False, *variant) for variant in VARIANTS]

    results = [run(*what) for what in runs if not names or what[2] in names]
    return 0 if results and all(results) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
