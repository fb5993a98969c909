"""An alert: adds a line about what has happened to the file that the run's parameter names."""

import json
import sys

event = json.load(sys.stdin)
if event["params"]["told"]:
    with open(event["params"]["told"], "a") as out:
        out.write(f"{event['event']} {event.get('task_id', event['dag_id'])}\n")
