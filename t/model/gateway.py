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
- A lease counts from when Redis gets the call: it is no longer if the call was
  sent before that.
- Generations are counted from the zone's backwards, and only those that a call
  or P:gateways has: which of two is older is all that is asked.
"""

import sys
from collections import deque
from typing import NamedTuple, Optional, Union

# a copy is asked for, read by Redis (the reply is under way), or in the cache
SENT, READ, CACHED = 'sent', 'read', 'cached'

# A late request has joined its lookup or found it in the cache; its lookup was
# sent after it arrived; it has passed the first of the two checks
NOBODY, JOINED, OWN, PASSED = 'nobody', 'joined', 'own', 'passed'

# replies to a lease call that was SENT; of ALL and ENTRIES and FORGET the
# counters are RAISED before a lease begins, and before they count as applied
LEASED, ALL, ENTRIES, FORGET = 'leased', 'all', 'entries', 'forget'
RAISED = 'raised'

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
    age: int                # of its generation: the zone's is 0
    length: int             # of the lease
    left: int               # of the lease that the reply brings
    id: int                 # what it says is applied; then what is to be
    watched: bool = False   # is the watched one among the reply's entries?


class Note(NamedTuple):
    """The gateway's field in P:gateways."""
    age: int
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
    note: Optional[Note] = None
    # the gateway
    applied: int = NOTHING
    until: int = 0          # how long the lease still lasts
    length: int = 0         # of this generation
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
    reloads: tuple = ('shorter', 'longer')  # make it so
    copies: int = 1         # at most, with lookups under way
    calls: int = 2          # at most, under way
    entries: int = 2        # at most, in the stream, of which one is no delete
    another: bool = False   # is another credential deleted?
    loses: str = ''         # a key that Redis loses


SHORT = {
    'requests': Scenario(copies=2),
    'lengths': Scenario(lengths=(2, 1)),
    'shorter': Scenario(lengths=(2, 1), reloads=('shorter',)),
    'longer': Scenario(lengths=(1, 2), reloads=('longer',)),
    'deletes': Scenario(lengths=(1,), entries=3, another=True),
    'stream': Scenario(begin=True, calls=1, loses='stream'),
    'streams': Scenario(lengths=(1,), calls=1, another=True, loses='stream'),
    'gateways': Scenario(loses='gateways'),
}

FULL = {
    'requests': Scenario(begin=True, copies=3, entries=3),
    'lengths': Scenario(lengths=(3, 2, 1)),
    'calls': Scenario(lengths=(2, 1), calls=3),
    'deletes': Scenario(entries=4, another=True),
    'removals': Scenario(lengths=(2, 1), entries=3, another=True),
    'stream': Scenario(begin=True, loses='stream'),
    'streams': Scenario(another=True, loses='stream'),
    'gateways': Scenario(lengths=(2, 1), loses='gateways'),
    'both': Scenario(entries=3, another=True, loses='gateways'),
}

# name, scenario, and what is done instead of the rule

VARIANTS = [
    # copies
    ('cachedclock', 'requests', "leases are compared with nginx's time"),
    ('nocounter', 'requests', 'copies are used, invalidated or not'),
    ('noinvalidate', 'requests', 'entries are applied, copies stay'),
    ('countatreply', 'requests', 'the sequence is noted at the reply'),
    ('counterfirst', 'requests', 'the counter is checked, then the lease'),
    ('joinany', 'requests', 'any lookup under way will do'),
    # leases
    ('fromreply', 'requests', 'a lease counts from the reply'),
    ('eagerlease', 'requests', 'a lease begins, then entries are applied'),
    ('moreentries', 'deletes', 'a lease begins, though there are more entries'),
    ('appliedfirst', 'requests', 'entries count as applied, then copies go'),
    ('samename', 'requests', 'another nginx has the same name'),
    # leases of several lengths
    ('onegeneration', 'longer', 'a call is noted over one of a newer lease'),
    ('nolength', 'shorter', 'any call grants its lease'),
    ('samelength', 'lengths', 'a call grants a lease of the same length'),
    ('maxlease', 'shorter', 'a longer lease is not cut'),
    # waits
    ('pubsubonly', 'requests', 'nobody waits'),
    ('shortwait', 'requests', 'the wait is a tick shorter than the lease'),
    ('waitnow', 'shorter', 'the longest lease is read when the wait ends'),
    ('removeany', 'deletes', 'whoever is outwaited is removed'),
    # losses
    ('noteunknown', 'stream', 'an unknown APPLIED is noted as said'),
    ('noreset', 'stream', 'ids from before are not reset'),
    ('noentry', 'streams', 'effective.lua does not look for its entry'),
    ('emptyfits', 'stream', '0-0 fits an empty stream'),
    ('noexcuse', 'gateways', 'P:gateways was lost less than a lease ago'),
]

NEEDLESS = [
    ('onegeneration', 'shorter', 'the same, while leases only get shorter'),
    ('nolength', 'longer', 'the same, while leases only get longer'),
    ('maxlease', 'longer', 'the same, while leases only get longer'),
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
            call = Call(SENT, 0, s.length, 0, s.applied)
            yield (f'call ({s.length})',
                   s._replace(calls=in_order((*s.calls, call))))
        for call, others in each(s.calls):
            yield from self.call(s, call, others)

        for length in self.scenario.lengths:
            if (length < s.length and 'shorter' in self.scenario.reloads
                    or length > s.length and 'longer' in self.scenario.reloads):
                yield f'reload ({length})', self.reload(s, length)

        yield from self.delete(s, 'watched')
        if self.scenario.another:
            yield from self.delete(s, 'another')

        if self.scenario.loses == 'stream' and s.ids == 'first':
            for ids in 'back', 'later':
                yield f'stream lost, {ids}', s._replace(stream=(), ids=ids)
        if self.scenario.loses == 'gateways' and s.note:
            yield 'gateways lost', s._replace(note=None, excused=(
                0 if 'noexcuse' in self.broken else max(self.scenario.lengths)))

    def tick(self, s):
        calls = s.calls if 'fromreply' in self.broken else under_way(
            [call._replace(left=less(call.left)) for call in s.calls])

        return s._replace(until=less(s.until), excused=less(s.excused),
                          calls=calls, watched=waited(s.watched),
                          another=waited(s.another))

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
        if call.stage == SENT:
            yield f'call ({call.length}) lost', s._replace(calls=others)
            yield from self.lease_lua(s, call, others)
        else:
            yield f'{call.stage} lost', s._replace(calls=others)
            yield self.reply(s, call, others)

        if 'samename' in self.broken and s.stream:
            yield ('call of another nginx',
                   noted(s, Call(SENT, 0, s.length, 0, last_id(s))))

    def lease_lua(self, s, call, others):
        which = f'lease.lua ({call.length})'

        if (s.note and s.note.age < call.age
                and 'onegeneration' not in self.broken):
            yield f'{which} late', s._replace(calls=others)
            return

        # none is empty, which would be like any other that is
        if not s.stream and 'emptyfits' not in self.broken:
            s = s._replace(stream=((FIRST_ID[s.ids], 'none'),))

        last = last_id(s)
        known = has_entry(s, call.id) or last == call.id == EMPTY

        s = noted(s, call if known else call._replace(
            id=max(call.id, EMPTY) if 'noteunknown' in self.broken else EMPTY))

        def reply(stage, id, watched=False):
            brings = (stage in (LEASED, ALL)
                      or stage == ENTRIES and 'moreentries' in self.broken)
            after = s._replace(calls=under_way((*others, call._replace(
                stage=stage, left=call.length if brings else 0, id=id,
                watched=watched))))
            return f'{which} {stage}', self.compared(after)

        if not known:
            yield reply(FORGET, last)
            return

        if call.id == last:
            yield reply(LEASED, last)
            return

        # there may be more of them than a reply has
        watched = False
        for id, name in s.stream:
            if id > call.id:
                watched = watched or name == 'watched'
                yield reply(ALL if id == last else ENTRIES, id, watched)

    def reply(self, s, call, others):
        def become(s, **changes):
            return s._replace(calls=under_way(
                (*others, call._replace(**changes))))

        if call.stage == LEASED:
            return LEASED, self.lease(s, call)._replace(calls=others)

        if call.left and (call.stage == RAISED or 'eagerlease' in self.broken):
            return 'lease begins', become(self.lease(s, call), left=0)

        if call.stage == RAISED:
            return 'applied', s._replace(calls=others, applied=call.id)

        # copies first: what is applied is what other workers say
        if 'appliedfirst' in self.broken and s.applied != call.id:
            return 'applied', s._replace(applied=call.id)

        if ((call.watched or call.stage == FORGET)
                and 'noinvalidate' not in self.broken):
            s = s._replace(copies=in_order(
                [copy._replace(current=False) for copy in s.copies]))

        return f'{call.stage} raised', become(s, stage=RAISED, watched=False)

    def lease(self, s, call):
        if 'samelength' in self.broken and call.length != s.length:
            return s
        return s._replace(until=max(s.until, call.left))

    def compared(self, s):
        """Without the leases of other generations: they will not be granted."""
        if self.broken & {'nolength', 'samelength'}:
            return s

        return s._replace(calls=under_way(
            [call._replace(left=0) if call.age else call for call in s.calls]))

    def reload(self, s, length):
        held = (*s.calls, s.note) if s.note else s.calls
        ages = sorted({0, *(one.age + 1 for one in held)})

        def older(one):
            return one._replace(age=ages.index(one.age + 1))

        if 'maxlease' not in self.broken:
            s = s._replace(until=min(s.until, length))

        return self.compared(s._replace(
            length=length, note=s.note and older(s.note),
            calls=under_way([older(call) for call in s.calls])))

    # deletes; whoever finds one pending may undeploy again

    def delete(self, s, name):
        delete = getattr(s, name)
        if delete == ANSWERED:
            return

        if len(s.stream) < self.scenario.entries:
            after = self.undeploy_lua(s, name)
            yield f'undeploy {name}', (after if s.note
                                       else answered(after, name))

        if delete:
            yield from self.effective_lua(s, name, delete)

    def undeploy_lua(self, s, name):
        id = FIRST_ID[s.ids] + 10 * len(s.stream)
        note = s.note
        if note and 'noreset' not in self.broken:
            note = note._replace(
                applied=note.applied if note.applied < id else EMPTY,
                seen=note.seen if note.seen < id else EMPTY)

        wait = (max(self.scenario.lengths) if 'waitnow' in self.broken
                else longest(s))
        return s._replace(stream=s.stream + ((id, name),), note=note,
                          **{name: Delete(id, wait)})

    def effective_lua(self, s, name, delete):
        left = delete.left
        if 'shortwait' in self.broken:
            left -= 1
        if 'waitnow' in self.broken:
            left -= max(self.scenario.lengths) - longest(s)

        # without its entry the attempt fails, and is made again
        if has_entry(s, delete.id) or 'noentry' in self.broken:
            if not s.note or s.note.applied >= delete.id:
                yield f'{name} is applied', answered(s, name)
            elif left <= 0:
                removed = s.note.seen < delete.id or 'removeany' in self.broken
                yield (f'{name} is outwaited', answered(
                    s._replace(note=None) if removed else s, name))
            elif 'pubsubonly' in self.broken:
                yield f'{name} is answered', answered(s, name)

        # if Redis cannot be asked, or its answer is lost
        if left <= 0:
            yield f'{name} is outwaited unheard', answered(s, name)


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


def under_way(calls):
    """What may still matter of them: a lease that is over does not."""
    return in_order([
        call if call.stage == SENT or call.left
        else call._replace(age=0, length=0)
        for call in calls if call.stage != LEASED or call.left])


def noted(s, call):
    return s._replace(note=Note(call.age, call.length, call.id, last_id(s)))


def has_entry(s, id):
    return any(id == entry for entry, _ in s.stream)


def last_id(s):
    return s.stream[-1][0] if s.stream else EMPTY


def longest(s):
    return s.note.length if s.note else 0


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


def run(scenario, must_hold, name, place, words):
    states, way = explore(Model(scenario, [name]))
    good = (way is None) == must_hold

    print('as expected' if good else 'NOT AS EXPECTED',
          f'{name} in {place}, {words}',
          f'{states} states, ' + ('holds' if way is None else 'VIOLATED'),
          *([way] if way else []), sep=': ', flush=True)
    return good


def main(arguments):
    full = 'full' in arguments
    names = set(arguments) - {'full'}

    runs = [(scenario, True, 'design', place, 'as it is')
            for place, scenario in (FULL if full else SHORT).items()]
    if full or names:
        runs += [(SHORT[variant[1]], True, *variant) for variant in NEEDLESS]
    runs += [(SHORT[variant[1]], False, *variant) for variant in VARIANTS]

    results = [run(*what) for what in runs if not names or what[2] in names]
    return 0 if results and all(results) else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
