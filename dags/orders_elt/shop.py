"""A shop with an API: `shop.py PORT ORDERS`. Busy for its first question, closed by POST /close."""

import http.server
import json
import sys
import urllib.parse

PORT, ORDERS = int(sys.argv[1]), int(sys.argv[2])
REGIONS = ["eu", "us", "asia"]


def order(n):
    # Every tenth order was cancelled; amounts are texts, as in many an API.
    return {
        "id": n,
        "ordered_at": f"2026-11-{1 + n % 28:02}T08:{n % 60:02}:00Z",
        "region": REGIONS[n % 3],
        "amount": f"{5 + n % 90}.{n % 100:02}",
        "state": "cancelled" if n % 10 == 0 else "paid",
    }


class Shop(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path != "/orders":
            return self.answer(404, {})
        Shop.asked += 1
        if Shop.asked == 1:
            return self.answer(503, {"error": "the shop is opening"}, {"Retry-After": "0"})
        query = dict(urllib.parse.parse_qsl(url.query))
        page, size = int(query.get("page", 1)), int(query.get("per_page", 20))
        first, last = (page - 1) * size + 1, min(page * size, ORDERS)
        more = last < ORDERS
        self.answer(200, {
            "complete": True,
            "items": [order(n) for n in range(first, last + 1)],
            "next": f"/orders?per_page={size}&page={page + 1}" if more else None,
        })

    def do_POST(self):
        self.answer(200, {"closed": True})
        self.server.is_open = False

    def answer(self, status, body, headers={}):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


server = http.server.HTTPServer(("127.0.0.1", PORT), Shop)
server.is_open = True
while server.is_open:
    server.handle_request()
print(f"asked {Shop.asked} times")
