"""Keeps the orders that were paid, one line each."""

import json
import os


def tidy(source, target):
    """Reads the lines of one file and writes another, which appears whole; says what it did."""
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
    return {"kept": kept, "dropped": dropped}
