"""The same receiver in FastAPI, uvicorn and aio-pika: reads the raw body, verifies it, publishes it and answers once the broker has it.

The peer of `cargo bench --bench intake`. One worker on uvloop and httptools, the digest in one call of C, and the answer past
FastAPI's models: what its users do when it has to be fast.
"""

import asyncio
import hmac
import os
from contextlib import asynccontextmanager
from uuid import uuid4

import aio_pika
from fastapi import FastAPI, Request, Response

QUEUE = os.environ["PEER_QUEUE"]
SECRET = os.environ["PEER_SECRET"].encode()
CONFIRM_TIMEOUT = 3
broker = {}


@asynccontextmanager
async def lifespan(_app):
    connection = await aio_pika.connect_robust(os.environ["PEER_AMQP_URL"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        broker["exchange"] = channel.default_exchange
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.post("/webhooks/github")
async def receive(request: Request) -> Response:
    body = await request.body()
    tag = "sha256=" + hmac.digest(SECRET, body, "sha256").hex()
    if not hmac.compare_digest(tag, request.headers.get("x-hub-signature-256", "")):
        return Response(b'{"detail":"signature refused"}', 401, media_type="application/json")
    delivery = str(uuid4())
    message = aio_pika.Message(
        body,
        message_id=delivery,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers={
            "event": request.headers.get("x-github-event", "unknown"),
            "key": request.headers.get("x-github-delivery", ""),
        },
    )
    try:
        await broker["exchange"].publish(message, QUEUE, mandatory=True, timeout=CONFIRM_TIMEOUT)
    except (aio_pika.exceptions.AMQPError, asyncio.TimeoutError):
        return Response(status_code=503, headers={"Retry-After": "30"})
    return Response(b'{"status":"received","delivery_id":"%s"}' % delivery.encode(), 202, media_type="application/json")
