import inspect

import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from afina import AfinaClassifier, AfinaRegressor
from afina.errors import ConfigError
from afina.tabular.estimators.typos import ELSEWHERE

KINDS = [AfinaClassifier, AfinaRegressor]
MEANT = {
    "lerning_rate": "lr",
    "bach_size": "batch_size",
    "Dropout": "dropout",
    "kind": "kinds",
    "hidden_layers": "d_block",
    "n_job": "threads",
} | {name: meant for name, meant in ELSEWHERE.items() if meant != "from_preset"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MEANT)
def test_a_wrong_argument_leads_to_the_right_one(kind, name):
    """Typos and the arguments of other libraries are named with the public class."""
    words = f"^{kind.__name__} has no argument '{name}'. Did you mean '{MEANT[name]}'\\?$"
    with pytest.raises(TypeError, match=words):
        kind(**{name: 1})
    with pytest.raises(ConfigError, match=words):
        kind().set_params(**{name: 1})

    assert MEANT[name] in kind().get_params()


def test_what_nothing_is_near_to():
    """A name that means nothing here leads to the list, a preset to where it is chosen."""
    with pytest.raises(TypeError, match=r"'zzz'\. AfinaRegressor\(\)\.get_params\(\) returns all"):
        AfinaRegressor(zzz=1)
    with pytest.raises(TypeError, match=r"Use AfinaRegressor\.from_preset\('fast'\)"):
        AfinaRegressor(preset="fast")
    with pytest.raises(TypeError, match=r"'epoch'. Did you mean 'max_epochs'"):
        AfinaRegressor.from_preset("fast", epoch=3)


def test_arguments_go_by_name():
    """A value without a name is refused without a private class's name."""
    with pytest.raises(
        TypeError, match=r"AfinaClassifier accepts only keyword arguments.*; got 0.01"
    ):
        AfinaClassifier(0.01)


def test_inside_a_pipeline():
    """A pipeline passes the message on; a part of a setting is no setting."""
    with pytest.raises(ConfigError, match=r"has no argument 'lrr'. Did you mean 'lr'"):
        make_pipeline(AfinaClassifier()).set_params(afinaclassifier__lrr=1)
    with pytest.raises(ConfigError, match="'lr__x'"):
        AfinaClassifier().set_params(lr__x=1)


def test_the_signature_is_that_of_the_settings():
    """The check hides no argument from scikit-learn, and right ones are set."""
    model = AfinaClassifier(lr=0.5).set_params(dropout=0.25, lr=0.125)

    assert (model.lr, model.dropout, clone(model).lr) == (0.125, 0.25, 0.125)
    assert set(inspect.signature(AfinaClassifier).parameters) == set(model.get_params())
