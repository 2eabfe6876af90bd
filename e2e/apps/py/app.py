"""Every scenario on the Python SDK, served by Flask.

A scenario is a function named after its event: py/serial starts py-serial. The
scenarios are those of ../ts/functions.mjs, as far as this SDK has them.
"""

import datetime
import json
import logging
import os
import signal
import sys
import time
import typing

import flask
import flow
import inngest
import inngest.flask
import waits
from werkzeug.serving import make_server

APP = "py"
MEGABYTE = "x" * 1_000_000

client = inngest.Inngest(app_id=APP, logger=logging.getLogger("inngest"))
functions: list[inngest.Function[typing.Any]] = []
log_file = os.open(os.environ["APP_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def log(ctx: inngest.ContextSync, step: str, what: str, **more: typing.Any) -> None:
    """Write one line of the app log: one write to a file opened for appending."""
    line = {"run": ctx.run_id, "step": step, "attempt": ctx.attempt, "what": what, "t": time.time_ns() // 1_000_000, **more}
    os.write(log_file, (json.dumps(line) + "\n").encode())


def run(ctx: inngest.ContextSync, name: str, work: typing.Callable[[], typing.Any], id: str | None = None) -> typing.Any:
    """Run a step whose body logs its start and its end, whatever its outcome."""

    def body() -> typing.Any:
        log(ctx, name, "start")
        try:
            return work()
        finally:
            log(ctx, name, "end")

    return ctx.step.run(id or name, body)


def on(
    name: str, *, event: str | None = None, trigger: typing.Any = None, retries: int | None = 3, **options: typing.Any
) -> typing.Callable[[typing.Any], typing.Any]:
    """Define the scenario `name`, started by the event of that name or by another trigger."""

    def define(handler: typing.Callable[[inngest.ContextSync], typing.Any]) -> None:
        starts = trigger or inngest.TriggerEvent(event=f"{APP}/{event or name}")
        functions.append(client.create_function(fn_id=name, retries=retries, trigger=starts, **options)(handler))

    return define


def fail(err: Exception) -> typing.NoReturn:
    raise err


def after(seconds: float, value: typing.Any) -> typing.Any:
    time.sleep(seconds)
    return value


@on("nostep")
def nostep(ctx: inngest.ContextSync) -> typing.Any:
    log(ctx, "fn", "start")
    return {"n": ctx.event.data["n"]}


@on("serial")
def serial(ctx: inngest.ContextSync) -> typing.Any:
    a = run(ctx, "a", lambda: 1)
    b = run(ctx, "b", lambda: a + 1)
    return run(ctx, "c", lambda: a + b + 3)


@on("many")
def many(ctx: inngest.ContextSync) -> typing.Any:
    total = 0
    for name in ["m1", "m2", "m3", "m4", "m5"]:
        total += run(ctx, name, lambda: 1)
    ctx.step.sleep("rest", datetime.timedelta(seconds=1))
    for name in ["m6", "m7", "m8"]:
        total += run(ctx, name, lambda: 1)
    return total


@on("parallel")
def parallel(ctx: inngest.ContextSync) -> typing.Any:
    parts = ctx.group.parallel(
        (
            lambda: run(ctx, "left", lambda: after(1, "l")),
            lambda: run(ctx, "right", lambda: after(1, "r")),
        )
    )
    return run(ctx, "after", lambda: "".join(parts))


@on("parallel-fail")
def parallel_fail(ctx: inngest.ContextSync) -> typing.Any:
    parts = ctx.group.parallel(
        (
            lambda: run(ctx, "good", lambda: "g"),
            lambda: run(ctx, "flaky", lambda: "f" if ctx.attempt >= 2 else fail(ValueError("flaky branch"))),
        )
    )
    return run(ctx, "after", lambda: "".join(parts))


@on("loop")
def loop(ctx: inngest.ContextSync) -> typing.Any:
    seen = []
    for i in range(4):
        seen.append(run(ctx, f"item:{i}" if i else "item", lambda: i, id="item"))
    return seen


@on("caught", retries=1)
def caught(ctx: inngest.ContextSync) -> typing.Any:
    try:
        run(ctx, "bad", lambda: fail(TypeError("bad thing")))
    except inngest.StepError as err:
        message = err.message
        return run(ctx, "plan-b", lambda: {"message": message})


@on("uncaught", retries=1)
def uncaught(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "bad", lambda: fail(TypeError("bad thing")))


@on("cause", retries=0)
def cause(ctx: inngest.ContextSync) -> typing.Any:
    log(ctx, "fn", "start")
    raise RuntimeError("outer") from ValueError("middle")


@on("retry")
def retry(ctx: inngest.ContextSync) -> typing.Any:
    first = run(ctx, "third-time", lambda: ctx.attempt if ctx.attempt >= 2 else fail(ValueError(f"attempt {ctx.attempt}")))
    second = run(ctx, "fresh", lambda: ctx.attempt)
    return {"first": first, "second": second}


@on("nonretriable")
def nonretriable(ctx: inngest.ContextSync) -> typing.Any:
    log(ctx, "fn", "start")
    raise inngest.NonRetriableError("never again")


@on("nonretriable-step")
def nonretriable_step(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "refused", lambda: fail(inngest.NonRetriableError("declined")))


@on("retry-after")
def retry_after(ctx: inngest.ContextSync) -> typing.Any:
    wait = datetime.timedelta(seconds=3)
    return run(ctx, "later", lambda: "came back" if ctx.attempt > 0 else fail(inngest.RetryAfterError("come back", wait)))


@on("sleep")
def sleep(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "before", lambda: 1)
    ctx.step.sleep("nap", datetime.timedelta(seconds=2))
    return run(ctx, "after", lambda: "rested")


@on("sleep-until")
def sleep_until(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "before", lambda: 1)
    ctx.step.sleep_until("long-ago", datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
    return run(ctx, "after", lambda: "at once")


@on("fan-a", event="fanout")
def fan_a(ctx: inngest.ContextSync) -> typing.Any:
    return run(ctx, "work", lambda: "a")


@on("fan-b", event="fanout")
def fan_b(ctx: inngest.ContextSync) -> typing.Any:
    return run(ctx, "work", lambda: "b")


@on("fan-c", event="fanout", retries=1)
def fan_c(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "work", lambda: fail(ValueError("c is broken")))


@on("big")
def big(ctx: inngest.ContextSync) -> typing.Any:
    """Six results of 1 MB: the state no longer fits one request body."""
    size = 0
    for i in range(6):
        size += len(run(ctx, f"big-{i}", lambda: MEGABYTE))
    ctx.step.sleep("breathe", datetime.timedelta(seconds=1))
    return run(ctx, "count", lambda: size)


@on("send")
def send(ctx: inngest.ContextSync) -> typing.Any:
    data = {"from": ctx.run_id}
    ids = ctx.step.send_event(
        "tell",
        [
            inngest.Event(name=f"{APP}/sent", data={"n": 1, **data}),
            inngest.Event(name=f"{APP}/sent", data={"n": 2, **data}),
        ],
    )
    run(ctx, "after", lambda: 1)
    return ids


@on("sent")
def sent(ctx: inngest.ContextSync) -> typing.Any:
    return run(ctx, "got", lambda: ctx.event.data["n"])


def handle_failure(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "handle", lambda: 1)
    data: typing.Any = ctx.event.data
    return {"failed": data["run_id"], "message": data["error"]["message"], "n": data["event"]["data"]["n"]}


@on("on-failure", retries=1, on_failure=handle_failure)
def on_failure(ctx: inngest.ContextSync) -> typing.Any:
    raise RuntimeError("beyond repair")


@on("nothing")
def nothing(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "void", lambda: None)
    run(ctx, "null", lambda: None)


@on("defaults", retries=None)
def defaults(ctx: inngest.ContextSync) -> typing.Any:
    log(ctx, "fn", "start")
    raise RuntimeError("always")


@on("slow")
def slow(ctx: inngest.ContextSync) -> typing.Any:
    run(ctx, "first", lambda: 1)
    run(ctx, "second", lambda: after(3, 2))
    return run(ctx, "third", lambda: "done")


@on("kill", retries=20)
def kill(ctx: inngest.ContextSync) -> typing.Any:
    """Work for the kill tests: a serial run of five steps of uneven length."""
    n = typing.cast(int, ctx.event.data["n"])
    for i in range(1, 6):
        run(ctx, f"k{i}", lambda: after((n * 7 + i * 13) % 60 / 1000, i))
    return {"n": n}


waits.add(APP, on, run)
flow.add(on, log)
if os.environ.get("APP_CRON"):
    waits.add_clockwork(on, run)


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = None
    inngest.flask.serve(app, client, functions)

    @app.get("/ready")
    def ready() -> str:
        return "ready\n"

    @app.post("/send")
    def send_with_sdk() -> typing.Any:
        body = flask.request.get_json()
        event = inngest.Event(name=body["name"], data=body.get("data", {}), id=body.get("id", ""))
        try:
            return {"ids": client.send_sync(event)}
        except Exception as err:
            return {"error": f"{type(err).__name__}: {err}"}, 502

    broken = [0]

    @app.get("/break")
    def break_app() -> str:
        """Answer everything with a status from now on, or with 0 as before."""
        broken[0] = int(flask.request.args["status"])
        return f"{broken[0]}\n"

    @app.before_request
    def instead() -> typing.Any:
        if not broken[0] or flask.request.path == "/break":
            return None
        line = {"run": flask.request.headers.get("X-Run-ID", ""), "what": "broken", "t": time.time_ns() // 1_000_000}
        os.write(log_file, (json.dumps(line) + "\n").encode())
        return "out of order\n", broken[0]

    @app.get("/release")
    def release() -> str:
        flow.gate(flask.request.args["gate"]).set()
        return "open\n"

    server = make_server("127.0.0.1", int(os.environ["PORT"]), app, threaded=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
