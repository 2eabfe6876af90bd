"""What a function can wait for, and how it can end, with the Python SDK.

The functions are those of ../ts/waits.mjs, as far as this SDK has them: it has
no signals and no `match`. app.py passes its helpers in.
"""

import datetime
import os
import time
import typing

import inngest

HOUR = datetime.timedelta(hours=1)
SAME_PAIR = "event.data.key == async.data.key"


def seconds(n: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=n)


def add(app: str, on: typing.Any, run: typing.Any) -> None:
    """Define the functions that wait, invoke, are cancelled or time out."""

    def whole(event: inngest.Event | None) -> typing.Any:
        if event is None:
            return None
        return {"name": event.name, "data": event.data, "id": event.id, "ts": event.ts}

    @on("wait")
    def wait(ctx: inngest.ContextSync) -> typing.Any:
        return whole(ctx.step.wait_for_event("for", event=f"{app}/paid", if_exp=SAME_PAIR, timeout=HOUR))

    # What is deployed as APP_CODE=new has another name for a step.
    @on("deploy")
    def deploy(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "reserve", lambda: {"id": "h1"})
        run(ctx, "charge card" if os.environ.get("APP_CODE") == "new" else "charge", lambda: 7)
        ctx.step.wait_for_event("handed over", event=f"{app}/handed-over", timeout=HOUR)
        return run(ctx, "thank", lambda: "thanked")

    @on("wait-if")
    def wait_if(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "before", lambda: 1)
        paid = ctx.step.wait_for_event("for", event=f"{app}/paid-if", if_exp=f"{SAME_PAIR} && async.data.n > 5", timeout=HOUR)
        return run(ctx, "after", lambda: paid and paid.data["n"])

    @on("wait-timeout")
    def wait_timeout(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "before", lambda: 1)
        got = ctx.step.wait_for_event("for", event=f"{app}/early", if_exp=SAME_PAIR, timeout=seconds(2))
        run(ctx, "after", lambda: 1)
        return {"got": whole(got)}

    @on("wait-own")
    def wait_own(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "before", lambda: 1)
        got = ctx.step.wait_for_event("for", event=f"{app}/wait-own", timeout=seconds(2))
        run(ctx, "after", lambda: 1)
        return {"got": whole(got)}

    @on("wait-all")
    def wait_all(ctx: inngest.ContextSync) -> typing.Any:
        go = ctx.step.wait_for_event("for", event=f"{app}/all-go", timeout=HOUR)
        return run(ctx, "after", lambda: go and go.data["n"])

    @on("wait-bad")
    def wait_bad(ctx: inngest.ContextSync) -> typing.Any:
        ctx.step.wait_for_event("for", event=f"{app}/paid", if_exp="event.data.key ===", timeout=HOUR)

    @on("wait-brittle")
    def wait_brittle(ctx: inngest.ContextSync) -> typing.Any:
        """Most of these fail to evaluate for an event whose text is no number."""
        condition = "async.data.text == 'x'" if ctx.event.data.get("good") else "int(async.data.text) > 3"
        go = ctx.step.wait_for_event("for", event=f"{app}/brittle-go", if_exp=condition, timeout=HOUR)
        return go and go.data["text"]

    @on("wait-beside")
    def wait_beside(ctx: inngest.ContextSync) -> typing.Any:
        event = inngest.Event(name=f"{app}/beside", data={"key": ctx.event.data["key"], "n": 42})
        results: typing.Any = ctx.group.parallel(
            (
                lambda: ctx.step.send_event("tell", event),
                lambda: ctx.step.wait_for_event("for", event=f"{app}/beside", if_exp=SAME_PAIR, timeout=seconds(30)),
            )
        )
        return results[1] and results[1].data["n"]

    @on("invoke")
    def invoke(ctx: inngest.ContextSync) -> typing.Any:
        """Invoke what the event names, of this app or of another."""
        data: typing.Any = ctx.event.data
        timeout = seconds(int(data["timeout"].removesuffix("s"))) if "timeout" in data else None
        run(ctx, "before", lambda: 1)
        got: typing.Any
        try:
            got = {
                "got": ctx.step.invoke_by_id(
                    "call", app_id=data.get("of"), function_id=data["fn"], data={"n": data["n"]}, timeout=timeout
                )
            }
        except inngest.StepError as err:
            got = {"caught": err.message}
        return run(ctx, "after", lambda: got)

    @on("invoke-uncaught")
    def invoke_uncaught(ctx: inngest.ContextSync) -> typing.Any:
        ctx.step.invoke_by_id("call", function_id="no-stock")

    @on("double")
    def double(ctx: inngest.ContextSync) -> typing.Any:
        ctx.step.sleep("think", seconds(1))
        n = typing.cast(int, ctx.event.data["n"])
        return run(ctx, "work", lambda: {"n": 2 * n, "from": app})

    @on("no-stock", retries=0)
    def no_stock(ctx: inngest.ContextSync) -> typing.Any:
        raise RuntimeError("nothing in stock")

    @on("unhurried")
    def unhurried(ctx: inngest.ContextSync) -> typing.Any:
        ctx.step.sleep("rest", seconds(4))
        return run(ctx, "work", lambda: "at last")

    @on(
        "cancel-on",
        cancel=[
            inngest.Cancel(event=f"{app}/stop", if_exp=SAME_PAIR),
            inngest.Cancel(event=f"{app}/stop-if", if_exp=f"{SAME_PAIR} && async.data.n > 5"),
            inngest.Cancel(event=f"{app}/stop-soon", if_exp=SAME_PAIR, timeout=seconds(1)),
        ],
        on_failure=lambda ctx: run(ctx, "handle-cancel", lambda: 1),
    )
    def cancel_on(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "before", lambda: 1)
        ctx.step.sleep("nap", seconds(5))
        return run(ctx, "after", lambda: "undisturbed")

    ended = f"event.data.function_id == '{app}-cancel-on'"

    @on("told-cancelled", trigger=inngest.TriggerEvent(event="inngest/function.cancelled", expression=ended))
    def told_cancelled(ctx: inngest.ContextSync) -> typing.Any:
        return ctx.event.data["run_id"]

    @on("told-finished", trigger=inngest.TriggerEvent(event="inngest/function.finished", expression=ended))
    def told_finished(ctx: inngest.ContextSync) -> typing.Any:
        return ctx.event.data["run_id"]

    @on("timeout-start", timeouts=inngest.Timeouts(start=seconds(1)))
    def timeout_start(ctx: inngest.ContextSync) -> typing.Any:
        return run(ctx, "work", lambda: 1)

    @on("timeout-finish", timeouts=inngest.Timeouts(finish=seconds(4)))
    def timeout_finish(ctx: inngest.ContextSync) -> typing.Any:
        for name in ["t1", "t2", "t3"]:
            run(ctx, name, lambda: time.sleep(2))
            ctx.step.sleep(f"rest-{name}", seconds(1))

    @on("timeout-nap", timeouts=inngest.Timeouts(finish=seconds(2)))
    def timeout_nap(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "before", lambda: 1)
        ctx.step.sleep("nap", HOUR)

    def ask(ctx: inngest.ContextSync) -> typing.Any:
        run(ctx, "ask", lambda: 1)
        got = ctx.step.wait_for_event("for", event=f"{app}/advice", if_exp="event.data.run_id == async.data.about", timeout=HOUR)
        ctx.step.sleep("think", seconds(1))
        return run(ctx, "advised", lambda: got and got.data["say"])

    @on("fail-wait", retries=0, on_failure=ask)
    def fail_wait(ctx: inngest.ContextSync) -> typing.Any:
        raise RuntimeError("ask somebody")

    @on("once")
    def once(ctx: inngest.ContextSync) -> typing.Any:
        ctx.step.send_event("tell", inngest.Event(name=f"{app}/told-once", data={"n": 5, "from": ctx.run_id}))
        return run(ctx, "after", lambda: "told")

    @on("told-once")
    def told_once(ctx: inngest.ContextSync) -> typing.Any:
        return run(ctx, "got", lambda: ctx.event.data["n"])


def add_clockwork(on: typing.Any, run: typing.Any) -> None:
    """Define a function that a clock starts. The other tests do without it."""

    @on("clock", trigger=inngest.TriggerCron(cron="* * * * *"))
    def clock(ctx: inngest.ContextSync) -> typing.Any:
        return run(ctx, "tick", lambda: {"name": ctx.event.name, "cron": ctx.event.data["cron"]})
