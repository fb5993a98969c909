"""Asks Apache Airflow how generated DAGs end, and writes its answers for our tests.

    python3 -m venv VENV && VENV/bin/pip install 'apache-airflow==3.3.2'
    VENV/bin/python tests/airflow/record.py [SEED [WHAT]]

Airflow's own scheduler decides: `DagRun.update_state` with its dependency checks, `schedule_tis`,
and the Execution API that `dag.test()` uses, on SQLite in a folder that is deleted again. Task
instances end one at a time, in an order drawn by chance within what `cases.py` allows.

With WHAT (`map`, `gate`, …) only those cases are asked again.

Nothing is written unless the recording names Airflow's version and has log lines of Airflow for
each task of each DAG.
"""

import itertools
import json
import logging
import os
import pathlib
import random
import re
import sys
import tempfile

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 2026
ONLY = sys.argv[2] if len(sys.argv) > 2 else None
ANSWERS = pathlib.Path(__file__).with_name("answers.jsonl")
HOME = tempfile.TemporaryDirectory(prefix="airflow-answers-")
os.environ.update(
    AIRFLOW_HOME=HOME.name,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME.name}/airflow.db",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
)

import structlog  # noqa: E402  (Airflow's home must be known first)
import airflow  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402

import cases  # noqa: E402


class Recording(logging.Handler):
    """Airflow's own lines about the task instances of one run, without what they all repeat."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.take(record.getMessage())

    def hear(self, _logger, _method, event):
        closed = ", ".join(task for task, _ in event.get("task_ids", []))
        self.take(" ".join(filter(None, [str(event["event"]), closed])))
        raise structlog.DropEvent

    def take(self, text):
        if KEPT.search(text):
            text = re.sub(r"<TaskInstance: [^.]*\.(\S+) \S+( map_index=\d+)? \[[\w.]+\][^>]*>", r"\1\2", text)
            text = text.replace("[DAG TEST] ", "").replace("TaskInstanceState.", "")
            if text not in self.lines:
                self.lines.append(text)


KEPT = re.compile(r"\[DAG TEST\] running|Setting task state .* to (?!.*QUEUED)|Skipping tasks \[.|Prepared task IDs for skipping|SKIPPED since|SKIPPED due|to fail due")
RECORDING = Recording()


def listen():
    """Hears the loggers that speak about task instances, down to the level where they do."""
    all_levels = structlog.make_filtering_bound_logger(logging.DEBUG)
    wrapper = type("Wrapper", (all_levels,), {"isEnabledFor": lambda self, level: False,
                                              "getEffectiveLevel": lambda self: logging.INFO})
    structlog.configure(processors=[RECORDING.hear], wrapper_class=wrapper, cache_logger_on_first_use=False)
    logger = logging.getLogger("airflow.sdk.definitions.dag")
    logger.setLevel(logging.INFO)
    logger.addHandler(RECORDING)
    logger.propagate = False


def build(case, name):
    """The DAG of a case, of Airflow's standard operators."""
    from airflow.providers.standard.operators.python import (
        BranchPythonOperator,
        PythonOperator,
        ShortCircuitOperator,
    )
    from airflow.sdk import DAG
    from airflow.sdk.exceptions import AirflowException, AirflowSkipException

    def work(item=0, *, fates, **context):
        """Fails as often as it shall, then ends as it shall."""
        fate = fates[item]
        n_fails = int(fate[1:] or 0)
        if context["ti"].try_number <= n_fails or fate[0] == "F":
            raise AirflowException("as the case says")
        if fate[0] == "K":
            raise AirflowSkipException("as the case says")

    dag = DAG(name, schedule=None, fail_fast=case.get("fast", False))
    tasks = {}
    with dag:
        for spec in case["tasks"]:
            common = dict(task_id=spec["id"], retries=spec.get("retries", 0), retry_delay=0,
                          trigger_rule=spec["rule"])
            follow = spec.get("follow")
            if spec["kind"] == "branch":
                task = BranchPythonOperator(python_callable=lambda follow=follow: follow, **common)
            elif spec["kind"] in ("gate", "hard_gate"):
                task = ShortCircuitOperator(python_callable=lambda follow=follow: bool(follow),
                                            ignore_downstream_trigger_rules=spec["kind"] == "hard_gate",
                                            **common)
            elif spec["kind"] == "items":
                task = PythonOperator(python_callable=lambda n=spec["n"]: [[i] for i in range(n)], **common)
            elif spec["kind"] == "mapped":
                partial = PythonOperator.partial(python_callable=work, op_kwargs={"fates": spec["fates"]}, **common)
                task = partial.expand(op_args=tasks[spec["id"] + "_items"].output)
            else:
                task = PythonOperator(python_callable=work, op_kwargs={"fates": [spec["fate"]]}, **common)
            if spec["kind"] == "setup":
                task.as_setup()
            elif spec["kind"] in ("teardown", "loud_teardown"):
                task.as_teardown(on_failure_fail_dagrun=spec["kind"] == "loud_teardown")
            tasks[spec["id"]] = task
        for spec in case["tasks"]:
            for up in spec["after"]:
                if not (spec["kind"] == "mapped" and up == spec["id"] + "_items"):
                    tasks[up] >> tasks[spec["id"]]
    return dag


def store(dag):
    """Puts a DAG where the scheduler and the Execution API read it."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "cases") is None:
            session.add(DagBundleModel(name="cases"))
    bag = DagBag(dag_folder=os.devnull, bundle_path=None, bundle_name="cases")
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "cases", None)


def play(case, dag, chance):
    """One run, to its end. Answers the states of its task instances and its own."""
    from airflow.models.dagrun import DagRun, get_or_create_dagrun
    from airflow.sdk import DagRunState, TaskInstanceState
    from airflow.sdk import timezone
    from airflow.sdk.definitions.dag import _run_task
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow import settings
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    session = settings.Session()
    of_scheduler = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    now = timezone.utcnow()
    run = get_or_create_dagrun(dag=of_scheduler, start_date=now, logical_date=None, data_interval=None,
                               run_after=now, run_id="case", session=session, conf=None,
                               triggered_by=DagRunTriggeredByType.TEST, triggering_user_name="case")
    looked_in_vain = 0
    while run.state == DagRunState.RUNNING:
        session.expire_all()
        ready, _ = run.update_state(session=session, execute_callbacks=False)
        run.schedule_tis(ready, session=session)
        session.commit()
        session.expire_all()  # the numbers of tries were raised in the database alone
        if run.state != DagRunState.RUNNING:
            break
        instances = run.get_task_instances(session=session)
        over = cases.over_in_order(case, {(ti.task_id, ti.map_index): str(ti.state or "none") for ti in instances})
        scheduled = [ti for ti in instances if ti.state == TaskInstanceState.SCHEDULED]
        may_run = [ti for ti in scheduled if cases.may_run(case, ti.task_id, over)]
        looked_in_vain = 0 if may_run or ready else looked_in_vain + 1
        if may_run:
            ti = chance.choice(sorted(may_run, key=lambda ti: (ti.task_id, ti.map_index)))
            _run_task(ti=ti, task=dag.task_dict[ti.task_id])
        elif looked_in_vain > 20:
            raise RuntimeError(f"{dag.dag_id} stands still: {[(ti.task_id, ti.state) for ti in instances]}")
    session.expire_all()
    states = {}
    for ti in run.get_task_instances(session=session):
        states.setdefault(ti.task_id, []).append((ti.map_index, str(ti.state.value if hasattr(ti.state, 'value') else ti.state), ti.try_number))
    end = str(run.state.value if hasattr(run.state, "value") else run.state)
    session.close()
    return {task: sorted(found) for task, found in states.items()}, end


def answer(case, name, chance):
    """The case with Airflow's answer and its lines."""
    dag = build(case, name)
    store(dag)
    RECORDING.lines = []
    states, end = play(case, dag, chance)
    told = {task: [state for _, state, _ in found] for task, found in states.items()}
    return {**case, "run": end, "states": told,
            "tries": {task: [tries for _, _, tries in found] for task, found in states.items()},
            "log": RECORDING.lines}


def main():
    initdb()
    listen()
    found = []
    kept = kept_answers()
    for number, case in enumerate(cases.all_cases(SEED)):
        if kept and case["what"] != ONLY:
            found.append(kept[number])
            continue
        chance = random.Random(f"{SEED} {number}")
        answered = answer(case, f"case{number}", chance)
        for cuts in itertools.count(1):
            cut = cases.without_chance(answered)
            if cut is None:
                break
            answered = answer(cut, f"case{number}_{cuts}", chance)
        found.append(answered)
        print(number, case["what"], answered["run"], flush=True)
    recording = [{"airflow": airflow.__version__, "seed": SEED, "cases": len(found)}] + found
    refuse_unless_whole(recording)
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in recording)
    ANSWERS.write_text(text + "\n")
    print(f"{len(found)} answers of Airflow {airflow.__version__}, {len(text)} bytes, in {ANSWERS}")


def kept_answers():
    """The answers to all other questions, when only some are to be asked again."""
    if ONLY is None:
        return None
    head, *answers = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    if (head["airflow"], head["seed"]) != (airflow.__version__, SEED):
        sys.exit("refused: the other answers are of another version of Airflow or another seed")
    return answers


def refuse_unless_whole(recording):
    """Stops if the recording could come from anything else than Airflow."""
    head, answers = recording[0], recording[1:]
    if not re.fullmatch(r"3\.\d+\.\d+", head.get("airflow") or ""):
        sys.exit("refused: the recording does not name Airflow's version")
    for at, case in enumerate(answers):
        for task in case["tasks"]:
            if "fate" not in task and task["kind"] != "mapped" and "failed" in case["states"][task["id"]]:
                sys.exit(f"refused: {task['id']} of case {at} failed, and nothing of the case says so")
        for task in case["tasks"]:
            fates = task.get("fates") or [task.get("fate")]
            for fate, state, tries in zip(fates, case["states"][task["id"]], case["tries"][task["id"]]):
                if fate and tries and state != cases.end_of(fate, task["retries"]):
                    sys.exit(f"refused: {task['id']} of case {at} is {state} after {tries} tries, for {fate}")
        for task in case["states"]:
            if not any(re.search(rf"\b{re.escape(task)}\b", line) for line in case["log"]):
                sys.exit(f"refused: no line of Airflow's about {task} of case {at}")


if __name__ == "__main__":
    main()
