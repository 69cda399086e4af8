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
def asked():
    return Asked()


@pytest.fixture
def question(slicer_bench, asked):
    from CCELLAGeneratorLib.panel.debounced import DebouncedQuery

    return DebouncedQuery(asked.ask, asked.answers.append)


@pytest.fixture
def pause(slicer_bench):
    from CCELLAGeneratorLib.panel.debounced import PAUSE_MS

    return lambda: slicer_bench.process_events(PAUSE_MS / 1000 + 0.1)


def test_asks_the_last_of_many_once(question, asked, pause):
    for number in range(3):
        question.put({"number": number})
    assert asked.questions == []
    pause()
    pause()
    assert [params for params, *_callbacks in asked.questions] == [{"number": 2}]


def test_an_answer_to_an_old_question_is_dropped(question, asked, pause):
    question.put({"number": 1})
    pause()
    question.put({"number": 2})
    pause()
    (_one, first_result, _error), (_two, second_result, _other_error) = asked.questions
    second_result("new")
    first_result("old")
    assert asked.answers[-1] == "new"
    assert "old" not in asked.answers


def test_the_same_is_asked_again_on_demand_only(question, asked, pause):
    question.put({"number": 1})
    pause()
    question.put({"number": 1})
    pause()
    assert len(asked.questions) == 1
    question.put({"number": 1}, again=True)
    pause()
    assert len(asked.questions) == 2


def test_no_answer_is_none(question, asked, pause):
    question.put({"number": 1})
    pause()
    _params, on_result, on_error = asked.questions[0]
    on_result("known")
    on_error(RuntimeError())
    assert asked.answers[-2:] == ["known", None]
    on_result("known")
    question.put(None)
    assert asked.answers[-1] is None


def test_after_closing_nothing_is_asked_or_told(question, asked, pause):
    question.put({"number": 1})
    pause()
    told = len(asked.answers)
    question.put({"number": 2})
    question.close()
    pause()
    asked.questions[0][1]("late")
    assert len(asked.questions) == 1
    assert asked.answers[told + 1 :] == []
