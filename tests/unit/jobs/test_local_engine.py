"""What a scoring process and the job say to each other."""

import multiprocessing
import threading
from concurrent.futures import Future
from typing import Any

from moodline.jobs.answers import Answer, Scored
from moodline.jobs.engines.local import _Replier

OVERLAP_WAIT_S = 0.2


class WatchfulConnection:
    """Tells whether a message was begun while another one was being written."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.overlapped = threading.Event()
        self._is_writing = threading.Event()

    def send(self, message: Any) -> None:
        if self._is_writing.is_set():
            self.overlapped.set()
        self._is_writing.set()
        # As long as the other thread needs to come here, if nothing keeps it away.
        self.overlapped.wait(OVERLAP_WAIT_S)
        self.sent.append(message)
        self._is_writing.clear()


def answered(analysis: bytes) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(Scored(analysis))
    return future


def test_answers_of_two_threads_are_sent_one_after_the_other() -> None:
    connection = WatchfulConnection()
    replier = _Replier(connection)  # type: ignore[arg-type]
    threads = [
        threading.Thread(target=replier.reply, args=(number, answered(b"{}")))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not connection.overlapped.is_set()
    assert sorted(number for number, _ in connection.sent) == [0, 1]


def test_a_job_that_is_gone_does_not_disturb_what_is_being_scored() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    _Replier(ours).reply(1, answered(b"{}"))
    ours.close()
