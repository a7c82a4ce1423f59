"""Verifies boarding codes from JSON lines.

    stdin     {"text": ..., "now": ..., "operator": ..., "trust": [{"kid", "alg", "point",
              "not_before", "not_after", "operator", "classes", "status"}, ...]}
    stdout    {"result": "OK"} or {"result": "CODE_NAME"}, one line for each

kid, point (SEC1) and classes are hex, as in the vectors.
"""

import json
import sys

import pt1


def main():
    for line in sys.stdin:
        print(json.dumps({"result": result(json.loads(line))}), flush=True)


def result(request):
    trust = [pt1.TrustEntry.from_fields(fields) for fields in request["trust"]]
    try:
        pt1.verify(request["text"], request["now"], request["operator"], trust)
    except pt1.Refused as refused:
        return refused.code
    return "OK"


if __name__ == "__main__":
    main()
