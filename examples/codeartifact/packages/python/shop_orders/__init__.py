"""Client of the shop's orders API."""

from urllib.parse import quote


def path(order_id):
    return "/orders/" + quote(order_id, safe="")
