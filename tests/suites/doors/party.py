"""What every door can do, as the suite asks for it; one adapter a door implements it.

A Party is one connection. It blocks, reads only when asked for something, and gives up after
PATIENCE seconds. What a protocol has no word for is not in `can`, and the suite leaves it out.
"""

import collections
import os
import time

PATIENCE = 10 * float(os.environ.get("SLOW", "1"))


class Refused(Exception):
    """A publish or a subscription was refused: `reason` is the word of the closed list."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text
        self.reason = text.split(":", 1)[0]


class Closed(Exception):
    """The connection has ended."""


class Delivery:
    def __init__(self, topic, data, headers=None, kind=None, attempt=1, gaps=None, number=0):
        self.topic = topic  # or the queue's name
        self.data = data  # bytes
        self.headers = headers or {}
        self.kind = kind  # the content type, or None
        self.attempt = attempt
        self.gaps = gaps or []  # [(count, reason)] lost before this one
        self.number = number  # whatever the door needs to settle it

    def __repr__(self):
        return f"<{self.topic} {self.data[:40]!r} {self.headers} attempt {self.attempt}>"


class Subscription:
    """Deliveries that came for one subscription, in order."""

    def __init__(self, party):
        self.party = party
        self.came = collections.deque()
        self.ended = None  # Refused, when the broker ended it

    def next(self, patience=PATIENCE):
        self.party.read_until(lambda: self.came or self.ended, patience, "a delivery")
        if not self.came:
            raise self.ended
        return self.came.popleft()

    def take(self, n):
        return [self.next() for _ in range(n)]


class Party:
    name = "?"
    # credit: grants after the first; receipts: how many queues matched and accepted;
    # delay: a nack with a delay; extend; reasons: a refusal names its reason; survives: a refusal
    # leaves the connection open; barrier; require; kinds: any content type; frames: publish_unit()
    # publishes x's in a frame of so many bytes
    can = frozenset()
    headers_max = 256  # of one message

    def __init__(self, pipe):
        self.pipe = pipe

    def read_until(self, done, patience=PATIENCE, what="an answer"):
        end = time.monotonic() + patience
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.name}: no {what} within {patience} s")
            self.on_unit(self.pipe.read_unit(left))

    def close(self):
        self.pipe.close()

    def cut(self):
        """Gone without a word: the kernel sends a reset."""
        self.pipe.cut()
