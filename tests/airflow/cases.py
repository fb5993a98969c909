"""Generated DAGs whose end does not hang on which task ended first, but for one known case.

A case is a dict: `what` it is about, whether it is `fast` (`fail_fast`), and its `tasks` in
topological order: `id`, `kind`, `rule`, the ids that it comes `after`, `retries`, and what each
attempt of it does. A fate is a letter and a number: so many failed tries, then success (`S`),
failure (`F`) or a skip (`K`).
"""

import copy
import itertools
import random

RULES = ["all_success", "all_failed", "all_done", "all_done_min_one_success", "all_done_setup_success",
         "all_skipped", "one_success", "one_failed", "one_done", "none_failed",
         "none_failed_min_one_success", "none_skipped", "always"]
EARLY = {"one_success", "one_failed", "one_done", "always"}
DECIDERS = {"branch", "gate", "hard_gate"}
TEARDOWNS = {"teardown", "loud_teardown"}
OVER = {"success", "failed", "upstream_failed", "skipped", "removed"}
BLOCKED = {"failed": "upstream_failed", "upstream_failed": "upstream_failed"}
SETUP_MARKS = {**BLOCKED, "skipped": "skipped"}
# What a rule makes of a task as soon as one task above it is in a state.
EARLY_MARKS = {
    "all_success": SETUP_MARKS,
    "all_failed": {"success": "skipped", "skipped": "skipped"},
    "all_done_min_one_success": {"skipped": "skipped"},
    "all_skipped": {"success": "skipped", "failed": "skipped", "upstream_failed": "skipped"},
    "none_failed": BLOCKED,
    "none_failed_min_one_success": BLOCKED,
    "none_skipped": {"skipped": "skipped"},
}
HOW_MANY = {"plain": 40, "branch": 60, "setup": 60, "gate": 60, "map": 60, "fast": 60}


def all_cases(seed):
    """Each rule over each multiset of up to three upstream states, then cases by chance."""
    for rule in RULES:
        yield cells(rule, random.Random(f"{seed} {rule}"))
    for what, how_many in HOW_MANY.items():
        for number in range(how_many):
            chance = random.Random(f"{seed} {what} {number}")
            yield fast(chance) if what == "fast" else by_chance(what, chance)


def fate(chance):
    return chance.choice(["S0", "S0", "S0", "S1", "F0", "F0", "K0", "K1"])


def task(name, chance, kind="work", rule="all_success", after=()):
    return {"id": name, "kind": kind, "rule": rule, "after": list(after),
            "retries": chance.choice([0, 0, 1, 2]), "fate": fate(chance)}


def end_of(fate, retries):
    """How a task ends that was tried."""
    ends = {"S": "success", "F": "failed", "K": "skipped"}
    return "failed" if int(fate[1:]) > retries else ends[fate[0]]


def cells(rule, chance):
    tasks = [dict(task(f"{letter.lower()}{n}", chance), fate=f"{letter}0", retries=0)
             for letter in "SFK" for n in range(3)]
    tasks += [task(f"u{n}", chance, after=["f0"]) for n in range(3)]
    for size in range(4):
        for states in itertools.combinations_with_replacement("sfku", size):
            above = [f"{letter}{n}" for letter in "sfku" for n in range(states.count(letter))]
            tasks.append(task("cell_" + "".join(states), chance, rule=rule, after=above))
    return {"what": "cells", "tasks": tasks}


def by_chance(what, chance):
    tasks = []
    for number in range(chance.randint(4, 9)):
        kind = kind_of(what, number, chance)
        rule = chance.choice(RULES) if chance.random() < 0.7 else "all_success"
        if kind in TEARDOWNS:
            rule = "all_done_setup_success"
        after = [one["id"] for one in tasks if one["kind"] != "items" and chance.random() < 0.33]
        one = task(f"t{number}", chance, kind, rule, after)
        if kind == "mapped":
            map_over(one, tasks, chance)
        tasks.append(one)
    for one in tasks:
        choose(one, tasks, chance)
    case = {"what": what, "tasks": tasks}
    tame(case)
    return case


def kind_of(what, number, chance):
    kinds = {
        "plain": ["work"],
        "branch": ["work", "work", "branch"],
        "gate": ["work", "work", "gate", "hard_gate"],
        "setup": ["work", "work", "work", "setup"] + (["teardown", "loud_teardown"] if number > 1 else []),
        "map": ["work", "work", "mapped"],
    }
    if number == 0 and what in ("gate", "branch", "setup"):
        return {"gate": chance.choice(["gate", "hard_gate"]), "branch": "branch", "setup": "setup"}[what]
    if number == 1 and what == "map":
        return "mapped"
    return chance.choice(kinds[what])


def map_over(one, tasks, chance):
    """A task of its own says what is mapped over: it has nothing above it and always ends well.
    What starts early would be expanded before there is anything to map over."""
    if one["rule"] in EARLY:
        one["rule"] = "all_done"
    n_items = chance.choice([0, 1, 3])
    items = {"id": one["id"] + "_items", "kind": "items", "rule": "all_success", "after": [],
             "retries": 0, "fate": "S0", "n": n_items}
    tasks.append(items)
    one["after"].append(items["id"])
    del one["fate"]
    one["fates"] = [fate(chance) for _ in range(n_items)]


def choose(one, tasks, chance):
    """Which way a branch or a gate goes."""
    below = [other["id"] for other in tasks if one["id"] in other["after"]]
    if one["kind"] == "branch":
        one["follow"] = [name for name in below if chance.random() < 0.5]
        del one["fate"]
    elif one["kind"] in ("gate", "hard_gate"):
        one["follow"] = chance.random() < 0.4
        del one["fate"]


def fast(chance):
    """Layers, each above all of the next; only a task that is alone in its layer may fail, so that
    what is over at the first failure does not hang on an order. One of them does, and has a layer
    below it that the failure stops."""
    layers, tasks = [], []
    n_layers = chance.randint(3, 5)
    fails_at = chance.randrange(n_layers - 1)
    for depth in range(n_layers):
        n_tasks = 1 if depth == fails_at else chance.choice([1, 1, 2, 3])
        names = [f"t{depth}{chr(97 + n)}" for n in range(n_tasks)]
        above = layers[-1] if layers else []
        for name in names:
            one = task(name, chance, after=above)
            if depth == fails_at:
                one["fate"] = "F0"
            elif len(names) > 1 or depth < fails_at:
                one["fate"] = chance.choice(["S0", "S0", "S1"] if depth < fails_at else ["S0", "S0", "S1", "K0"])
                one["retries"] = max(one["retries"], int(one["fate"][1]))
            tasks.append(one)
        layers.append(names)
    if chance.random() < 0.6:
        first = dict(task("begin", chance, kind="setup"), fate=chance.choice(["S0", "S0", "S0", "F0"]))
        tasks.insert(0, first)
        for one in tasks[1:]:
            one["after"] = one["after"] or ["begin"]
        kind = chance.choice(sorted(TEARDOWNS))
        tasks.append(task("end", chance, kind, "all_done_setup_success", ["begin"] + layers[-1]))
    return {"what": "fast", "fast": True, "tasks": tasks}


def above_of(case):
    """Each task's upstream tasks, near and far."""
    found = {}
    for one in case["tasks"]:
        found[one["id"]] = set(one["after"]).union(*(found[up] for up in one["after"]))
    return found


def tame(case):
    """Takes out what engine and Airflow may answer differently by their order: tasks that are
    started early below a decider, and failures that could be seen before a decider has spoken."""
    tasks = {one["id"]: one for one in case["tasks"]}
    kinds = {name: one["kind"] for name, one in tasks.items()}
    above = above_of(case)
    for name, one in tasks.items():
        if one["rule"] in EARLY and any(kinds[up] in DECIDERS for up in above[name]):
            one["rule"] = "all_done"
    while (edge := early_edge(case)) is not None:
        up, name = edge
        tasks[name]["after"].remove(up)
        if kinds[up] == "branch":
            tasks[up]["follow"] = [to for to in tasks[up]["follow"] if to != name]
    if has_cycle(case):
        for one in case["tasks"]:
            if one["kind"] in DECIDERS and one is not next(o for o in case["tasks"] if o["kind"] in DECIDERS):
                one.pop("follow")
                one["kind"], one["fate"] = "work", "S0"


def reach(case, decider):
    """The tasks that a decider may close."""
    above = above_of(case)
    closes = lambda one: decider["kind"] == "branch" or one["kind"] not in TEARDOWNS
    if decider["kind"] == "hard_gate":
        return [one for one in case["tasks"] if decider["id"] in above[one["id"]] and closes(one)]
    return [one for one in case["tasks"] if decider["id"] in one["after"] and closes(one)]


def arcs(case):
    """Pairs of a decider and a task that must not end before it, with the edge that they are of."""
    above = above_of(case)
    for decider in case["tasks"]:
        if decider["kind"] not in DECIDERS:
            continue
        name = decider["id"]
        for below in reach(case, decider):
            for up in below["after"]:
                if up == name:
                    continue
                for early in above[up] | {up}:
                    if early != name and name not in above[early]:
                        yield name, early, (up, below["id"])


def early_edge(case):
    above = above_of(case)
    return next((edge for decider, early, edge in arcs(case) if early in above[decider]), None)


def has_cycle(case):
    before = {one["id"]: set(one["after"]) for one in case["tasks"]}
    for decider, early, _ in arcs(case):
        before[early].add(decider)
    while before:
        free = {name for name, waits in before.items() if not waits & before.keys()}
        if not free:
            return True
        before = {name: waits for name, waits in before.items() if name not in free}
    return False


def over_in_order(case, states):
    """The tasks all of whose instances are over."""
    open_tasks = {name for (name, _), state in states.items() if state.split(".")[-1].lower() not in OVER}
    return {one["id"] for one in case["tasks"]} - open_tasks


def may_run(case, name, over):
    return all(decider in over for decider, early, _ in arcs(case) if early == name)


def without_chance(answered):
    """A case whose answer is Airflow's by chance, with what chance decided about cut off, so that
    nothing else hangs on it. `None` when there is nothing to cut."""
    keys = ("what", "fast", "tasks")
    cut = copy.deepcopy({key: answered[key] for key in keys if key in answered})
    if cut_below_mixed(cut["tasks"], answered["states"]) or cut_beside_setups(cut, answered["states"]):
        return cut
    return None


def cut_below_mixed(tasks, states):
    """`all_success` over a skipped and a failed task: what is below such a task is cut off."""
    for one in tasks:
        seen = {state for up in one["after"] for state in states[up]}
        mixed = "skipped" in seen and seen & {"failed", "upstream_failed"}
        below = [other for other in tasks if one["id"] in other["after"]]
        if one["rule"] == "all_success" and mixed and below and "skipped" in states[one["id"]]:
            for other in below:
                other["after"].remove(one["id"])
            return True
    return False


def cut_beside_setups(case, states):
    """A setup task further up that has not succeeded marks a task, and so may a task beside it:
    whichever Airflow looks at first. The edge from that one is cut off."""
    above = above_of(case)
    tasks = {one["id"]: one for one in case["tasks"]}
    for one in case["tasks"]:
        marks = EARLY_MARKS.get(one["rule"], {})
        far = [up for up in above[one["id"]] if tasks[up]["kind"] == "setup" and up not in one["after"]]
        by_far = {up: SETUP_MARKS[state] for up in far for state in states[up] if state != "success"}
        if len(set(by_far.values())) > 1:
            skipped = next(up for up, mark in by_far.items() if mark == "skipped")
            tasks[skipped]["kind"] = "work"
            return True
        for setup, mark in by_far.items():
            for up in one["after"]:
                other = {marks.get(state, mark) for state in states[up]} - {mark}
                if other and setup not in above[up]:
                    one["after"].remove(up)
                    if tasks[up]["kind"] == "branch":
                        tasks[up]["follow"] = [to for to in tasks[up]["follow"] if to != one["id"]]
                    return True
    return False
