# ruff: noqa: N803 - named as the logic names them
"""Questions to the worker: after a pause, the last one only, and no answer to an old one."""

import pytest


class Asked:
    def __init__(self):
        self.questions = []
        self.answers = []

    def ask(self, onResult, onError, **params):
        self.questions.append((params, onResult, onError))


@pytest.fixture
def sent():
    return Asked()


@pytest.fixture
def query(slicer_bench, sent):
    from CCELLAGeneratorLib.panel.debounced import DebouncedQuery

    return DebouncedQuery(sent.ask, sent.answers.append)


@pytest.fixture
def pause(slicer_bench):
    from CCELLAGeneratorLib.panel.debounced import PAUSE_MS

    return lambda: slicer_bench.process_events(PAUSE_MS / 1000 + 0.1)


def test_asks_the_last_of_many_once(query, sent, pause):
    for number in range(3):
        query.put({"number": number})
    assert sent.questions == []
    pause()
    pause()
    assert [params for params, *_callbacks in sent.questions] == [{"number": 2}]


def test_an_answer_to_an_old_question_is_dropped(query, sent, pause):
    query.put({"number": 1})
    pause()
    query.put({"number": 2})
    pause()
    (_one, first_result, _error), (_two, second_result, _other_error) = sent.questions
    second_result("new")
    first_result("old")
    assert sent.answers[-1] == "new"
    assert "old" not in sent.answers


def test_the_same_is_asked_again_on_demand_only(query, sent, pause):
    query.put({"number": 1})
    pause()
    query.put({"number": 1})
    pause()
    assert len(sent.questions) == 1
    query.put({"number": 1}, again=True)
    pause()
    assert len(sent.questions) == 2


def test_no_answer_is_none(query, sent, pause):
    query.put({"number": 1})
    pause()
    _params, on_result, on_error = sent.questions[0]
    on_result("known")
    on_error(RuntimeError())
    assert sent.answers[-2:] == ["known", None]
    on_result("known")
    query.put(None)
    assert sent.answers[-1] is None


def test_after_closing_nothing_is_asked_or_told(query, sent, pause):
    query.put({"number": 1})
    pause()
    told = len(sent.answers)
    query.put({"number": 2})
    query.close()
    pause()
    sent.questions[0][1]("late")
    assert len(sent.questions) == 1
    assert sent.answers[told + 1 :] == []
