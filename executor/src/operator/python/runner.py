# Runs a script or calls a function for one attempt of a task. Needs nothing but the standard
# library. What to do comes on standard input, which the script or function then finds empty.
# The folder of the run is TIDEMILL_RUN_DIR, as for every task.
import importlib
import inspect
import json
import os
import runpy
import sys
import traceback
import types


def take():
    given = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return given


def prepare(given):
    # The DAG's folder stands where this file's own folder stood.
    sys.path[0] = os.environ["TIDEMILL_DAG_DIR"]
    sys.dont_write_bytecode = True
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    context = types.ModuleType("tidemill_context", "What this attempt is about.")
    context.__dict__.update(given["context"])
    sys.modules["tidemill_context"] = context


def run_script(given):
    sys.path[0] = os.path.dirname(given["script"])
    sys.argv = [given["script"]] + given["args"]
    runpy.run_path(given["script"], run_name="__main__")


def call(given):
    module, _, names = given["call"].partition(":")
    sys.argv = [given["call"]] + given["args"]
    function = importlib.import_module(module)
    for name in names.split("."):
        function = getattr(function, name)
    kwargs = dict(given["kwargs"])
    if "tidemill_context" not in kwargs and takes_context(function):
        kwargs["tidemill_context"] = given["context"]
    value = function(**kwargs)
    try:
        line = json.dumps({"return_value": value}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError("what {} returned is not JSON: {}".format(given["call"], error)) from None
    if value is not None:
        with open(os.environ["TIDEMILL_OUTPUT"], "a", encoding="utf-8") as output:
            output.write(line + "\n")


def takes_context(function):
    try:
        return "tidemill_context" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def own_frames(frame):
    # The reader wants to see the frames of the task, not those of its runner.
    while frame and frame.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        frame = frame.tb_next
    return frame


def main():
    given = take()
    prepare(given)
    try:
        if "script" in given:
            run_script(given)
        else:
            call(given)
    except Exception as error:
        traceback.print_exception(type(error), error, own_frames(error.__traceback__))
        sys.exit(1)


main()
