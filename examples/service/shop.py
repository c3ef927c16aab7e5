"""A small shop with an OpenAPI document, as somebody else's service would be.

``python shop.py`` serves it on http://127.0.0.1:8090.  Calls need the header ``X-API-Key``.
"""

from __future__ import annotations

import argparse
import itertools
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "tea-time"

PRODUCTS = {
    "green-1": {"name": "Sencha", "price": 4.5, "stock": 12},
    "black-1": {"name": "Assam", "price": 3.9, "stock": 3},
    "black-2": {"name": "Darjeeling", "price": 6.2, "stock": 0},
}

ORDER = {
    "type": "object",
    "required": ["product", "quantity"],
    "properties": {
        "product": {"type": "string", "description": "The product's id."},
        "quantity": {"type": "integer", "minimum": 1, "description": "How many packets."},
        "gift": {"type": "boolean", "description": "Wrap it."},
    },
}

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Tea shop", "version": "1"},
    "paths": {
        "/products": {
            "get": {
                "operationId": "list_products",
                "summary": "List the products whose name or id has a word in it.",
                "parameters": [
                    {
                        "name": "q",
                        "in": "query",
                        "description": "The word; all products without it.",
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {"200": {"description": "the products"}},
            }
        },
        "/products/{id}": {
            "get": {
                "operationId": "get_product",
                "summary": "Say what a product costs, and how many packets are in stock.",
                "parameters": [
                    {
                        "name": "id",
                        "in": "path",
                        "required": True,
                        "description": "The product's id.",
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {"200": {"description": "the product"}},
            }
        },
        "/orders": {
            "post": {
                "operationId": "place_order",
                "summary": "Order packets of one product.",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": ORDER}},
                },
                "responses": {"201": {"description": "the order"}},
            }
        },
    },
}

_NUMBERS = itertools.count(1)


class Shop(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Show the document, the products, or one of them."""
        parts = urlsplit(self.path)
        if parts.path == "/openapi.json":
            self._answer(200, DOCUMENT)
        elif not self._knows_the_key():
            self._answer(401, {"error": "the header X-API-Key is missing or wrong"})
        elif parts.path == "/products":
            word = parse_qs(parts.query).get("q", [""])[0].lower()
            self._answer(200, {"items": [*_found(word)]})
        else:
            self._show(unquote(parts.path).removeprefix("/products/"))

    def do_POST(self) -> None:
        """Take an order."""
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._knows_the_key():
            self._answer(401, {"error": "the header X-API-Key is missing or wrong"})
            return
        product = PRODUCTS.get(order["product"])
        if product is None or order["quantity"] > product["stock"]:
            self._answer(409, {"error": f"there are not {order['quantity']} packets of it"})
            return
        total = round(product["price"] * order["quantity"], 2)
        self._answer(201, {"order": next(_NUMBERS), "total": total, "gift": order.get("gift")})

    def _show(self, product: str) -> None:
        if product in PRODUCTS:
            self._answer(200, {"id": product, **PRODUCTS[product]})
        else:
            self._answer(404, {"error": f"there is no product {product!r}"})

    def _knows_the_key(self) -> bool:
        return self.headers.get("X-API-Key") == KEY

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


def _found(word: str) -> list[dict[str, Any]]:
    return [
        {"id": key, "name": one["name"], "price": one["price"]}
        for key, one in PRODUCTS.items()
        if word in key or word in str(one["name"]).lower()
    ]


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090, help="0: any free one")
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Shop)
    print(f"the shop is open at http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
