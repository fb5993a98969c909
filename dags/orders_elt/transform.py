"""Keeps the orders that were paid, one line each: `transform.py FROM TO`. Prints what it did."""

import json
import os
import sys

source, target = sys.argv[1], sys.argv[2]
kept = dropped = 0
with open(source) as lines, open(target + ".new", "w") as out:
    for line in lines:
        order = json.loads(line)
        if order["state"] != "paid":
            dropped += 1
            continue
        whole, part = order["amount"].split(".")
        out.write(json.dumps({
            "id": order["id"],
            "day": order["ordered_at"][:10],
            "region": order["region"],
            "cents": int(whole) * 100 + int(part),
        }) + "\n")
        kept += 1
os.replace(target + ".new", target)
print(json.dumps({"kept": kept, "dropped": dropped}))
