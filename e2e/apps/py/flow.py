"""A function for each kind of flow control, and some with several.

The functions are those of ../ts/flow.mjs. app.py passes its helpers in.
"""

import datetime
import threading
import time
import typing

import inngest

KEY = "event.data.key"
POOL = "'e2e-pool'"  # the same text for several functions is one limit for all of them

gates: dict[str, threading.Event] = {}
gates_lock = threading.Lock()


def gate(name: str) -> threading.Event:
    """Return what holds up bodies until the test opens it with /release?gate=NAME."""
    with gates_lock:
        return gates.setdefault(name, threading.Event())


def seconds(n: float) -> datetime.timedelta:
    return datetime.timedelta(seconds=n)


def concurrency(limit: int, key: str | None = None, scope: typing.Any = None) -> inngest.Concurrency:
    return inngest.Concurrency(limit=limit, key=key, scope=scope)


def throttle(limit: int, period: float, **more: typing.Any) -> inngest.Throttle:
    return inngest.Throttle(limit=limit, period=seconds(period), **more)


VIP = inngest.Priority(run="event.data.vip ? 120 : 0")

OPTIONS: dict[str, dict[str, typing.Any]] = {
    "flow-one": {"concurrency": [concurrency(1)]},
    "flow-two": {"concurrency": [concurrency(2)]},
    "flow-key": {"concurrency": [concurrency(3), concurrency(1, KEY)]},
    "flow-throttle": {"throttle": throttle(2, 1)},
    "flow-throttle-slow": {"throttle": throttle(1, 1)},
    "flow-burst": {"throttle": throttle(2, 1, burst=2, key=KEY)},
    "flow-rate": {"rate_limit": inngest.RateLimit(limit=1, period=seconds(1), key=KEY)},
    "flow-rate-many": {"rate_limit": inngest.RateLimit(limit=20, period=seconds(60))},
    "flow-debounce": {"debounce": inngest.Debounce(period=seconds(1), key=KEY)},
    "flow-debounce-cap": {"debounce": inngest.Debounce(period=seconds(1), timeout=seconds(2), key=KEY)},
    "flow-debounce-slow": {"debounce": inngest.Debounce(period=seconds(4), key=KEY)},
    "flow-priority": {"concurrency": [concurrency(1)], "priority": VIP},
    "flow-batch": {
        "batch_events": inngest.Batch(max_size=3, timeout=seconds(1), key=KEY, if_exp="event.data.alone != true"),
    },
    "flow-batch-slow": {"batch_events": inngest.Batch(max_size=3, timeout=seconds(4), key=KEY)},
    "flow-skip": {"singleton": inngest.Singleton(mode="skip", key=KEY)},
    "flow-cancel": {"singleton": inngest.Singleton(mode="cancel", key=KEY)},
    "flow-once": {"idempotency": "event.data.order"},
    "flow-mixed": {
        "rate_limit": inngest.RateLimit(limit=1, period=seconds(24 * 3600), key="event.data.order"),
        "throttle": throttle(2, 1),
        "concurrency": [concurrency(2), concurrency(1, KEY)],
        "priority": VIP,
    },
    "flow-batch-mixed": {
        "batch_events": inngest.Batch(max_size=2, timeout=seconds(1)),
        "throttle": throttle(1, 1),
        "concurrency": [concurrency(1)],
    },
    "flow-debounce-mixed": {
        "debounce": inngest.Debounce(period=seconds(1), key=KEY),
        "singleton": inngest.Singleton(mode="skip", key=KEY),
    },
    "flow-free": {"retries": 20},
}

# Functions of every app that is there start with these events.
SHARED = {
    "flow-env-a": ("flow/env", concurrency(1, POOL, "env")),
    "flow-env-b": ("flow/env", concurrency(1, POOL, "env")),
    "flow-account-a": ("flow/account", concurrency(2, KEY, "account")),
    "flow-account-b": ("flow/account", concurrency(1, KEY, "account")),
}


def add(on: typing.Any, log: typing.Any) -> None:
    """Define the functions under flow control."""

    def work(ctx: inngest.ContextSync, fn: str, step: str = "work") -> typing.Any:
        """Run a step that takes data.ms milliseconds, or until the gate data.hold is open.

        It logs for what events it works, and returns their numbers.
        """
        events: list[typing.Any] = [event.data for event in ctx.events]

        def body() -> typing.Any:
            log(ctx, step, "start", fn=fn, data=events)
            if "hold" in events[0]:
                if not gate(events[0]["hold"]).wait(120):
                    raise TimeoutError(f"nobody has opened the gate {events[0]['hold']}")
            else:
                time.sleep(events[0].get("ms", 0) / 1000)
            log(ctx, step, "end", fn=fn, data=events)
            return [data["n"] for data in events]

        return ctx.step.run(step, body)

    def only_work(fn: str) -> typing.Callable[[inngest.ContextSync], typing.Any]:
        return lambda ctx: work(ctx, fn)

    for fn, options in OPTIONS.items():
        on(fn, **options)(only_work(fn))
    for fn, (event, limit) in SHARED.items():
        on(fn, trigger=inngest.TriggerEvent(event=event), concurrency=[limit])(only_work(fn))

    @on("flow-nap", concurrency=[concurrency(1)])
    def nap(ctx: inngest.ContextSync) -> typing.Any:
        work(ctx, "flow-nap", "before")
        ctx.step.sleep("nap", seconds(int(str(ctx.event.data.get("nap", "1s")).removesuffix("s"))))
        return work(ctx, "flow-nap", "after")
