#!/usr/bin/env python3
"""What server.py saw. stats.py PORT PATH EXPRESSION: exit 0 if it holds.

In EXPRESSION: attempts, most, taken (data: how often), ids (data: webhook-id of each attempt),
stamps (the same of webhook-timestamp), times (of all attempts); and paths: all of these, by path."""
import json
import sys
import urllib.request

port, path, expression = sys.argv[1:]
with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
    all_paths = json.load(answer)
empty = {"attempts": 0, "most": 0, "taken": {}, "ids": {}, "stamps": {}, "times": []}
names = dict(all_paths.get(path, empty), paths=all_paths)
if not eval(expression, names):  # the expressions are our own tests'
    sys.exit(f"{path}: not {expression}: " + json.dumps(all_paths.get(path, empty))[:2000])
