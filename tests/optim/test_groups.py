import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from afina.nn import (
    CategoryEmbedding,
    FeatureScale,
    MemberHeads,
    MemberLinear,
    MemberScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    StackedLinear,
)
from afina.optim import decay_groups, decayed_parameters, parameter_groups


class OwnNorm(nn.Module):
    """A norm that torch does not know."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class OwnMatrix(nn.Module):
    """A layer that torch does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing = nn.Parameter(torch.ones(3, 4))
        self.out_bias = nn.Parameter(torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.mixing + self.out_bias


# Each leaf module with the names of its parameters that decay.
LEAVES = {
    "linear": (lambda: nn.Linear(3, 4), {"weight"}),
    "one output": (lambda: nn.Linear(3, 1), {"weight"}),
    "one by one": (lambda: nn.Linear(1, 1, bias=False), {"weight"}),
    "conv": (lambda: nn.Conv2d(1, 1, 1), {"weight"}),
    "transposed": (lambda: nn.ConvTranspose1d(2, 3, 2), {"weight"}),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4), {"weight"}),
    "embedding": (lambda: nn.Embedding(5, 3), {"weight"}),
    "category": (lambda: CategoryEmbedding([5], [True], 3), {"weight"}),
    "lstm": (lambda: nn.LSTM(2, 3), {"weight_ih_l0", "weight_hh_l0"}),
    "gru cell": (lambda: nn.GRUCell(2, 3), {"weight_ih", "weight_hh"}),
    "attention": (
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
        {"in_proj_weight", "out_proj.weight"},
    ),
    "batch": (lambda: nn.BatchNorm1d(3), set()),
    "batch 2d": (lambda: nn.BatchNorm2d(3), set()),
    "sync": (lambda: nn.SyncBatchNorm(3), set()),
    "instance": (lambda: nn.InstanceNorm2d(3, affine=True), set()),
    "group": (lambda: nn.GroupNorm(1, 3), set()),
    "layer": (lambda: nn.LayerNorm(3), set()),
    "layer 2d": (lambda: nn.LayerNorm((3, 4)), set()),
    "rms": (lambda: nn.RMSNorm(3), set()),
    "own norm": (lambda: OwnNorm(3), set()),
    "own norm for images": (lambda: OwnNorm(1, 3, 1, 1), set()),
    "own matrix": (OwnMatrix, {"mixing"}),
    "prelu": (lambda: nn.PReLU(3), set()),
    "relu": (nn.ReLU, set()),
    "piecewise": (lambda: PiecewiseLinear([3, 2], 4), set()),
    "periodic": (lambda: Periodic(2, 4), set()),
    "feature scale": (lambda: FeatureScale(3), set()),
    "parametric": (lambda: ParametricActivation("relu", 3), set()),
    "member scale": (lambda: MemberScale(3, 4), set()),
    "member linear": (lambda: MemberLinear(3, 4, 2), {"shared.weight"}),
    "heads": (lambda: MemberHeads(3, 4, 2), {"weight"}),
    "heads of one output": (lambda: MemberHeads(3, 1, 2), {"weight"}),
    "weight norm": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
        {"parametrizations.weight.original1"},
    ),
}


def build(tree: object) -> tuple[nn.Module, set[str]]:
    """Build a random tree of modules; give it with the names that must decay."""
    if isinstance(tree, str):
        make, decaying = LEAVES[tree]
        return make(), decaying
    parts = [build(part) for part in tree]
    wanted = {f"{i}.{name}" for i, (_, names) in enumerate(parts) for name in names}
    return nn.Sequential(*(part for part, _ in parts)), wanted


trees = st.recursive(st.sampled_from(sorted(LEAVES)), lambda part: st.lists(part, max_size=4))


@given(trees)
def test_roles_in_any_tree(tree: object) -> None:
    """In any tree of modules exactly the matrices decay, and every parameter is listed once."""
    module, wanted = build(tree)
    roles = decay_groups(module)

    assert {one.name for one in roles if one.decays} == wanted
    assert [id(one.parameter) for one in roles] == [id(p) for p in module.parameters()]


@given(trees, st.data())
def test_groups_in_any_tree(tree: object, data: st.DataObject) -> None:
    """The groups hold every trainable parameter once, frozen ones never, and none is empty."""
    module, _ = build(tree)
    for parameter in module.parameters():
        parameter.requires_grad_(data.draw(st.booleans()))
    trainable = {id(p) for p in module.parameters() if p.requires_grad}
    if not trainable:
        with pytest.raises(ValueError, match="must have parameters to train"):
            parameter_groups(module, 0.1)
        return

    groups = parameter_groups(module, 0.1)

    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == trainable
    assert all(group["params"] for group in groups)
    decaying = [id(p) for group in groups if group["weight_decay"] for p in group["params"]]
    assert decaying == [id(p) for p in decayed_parameters(module)]


def test_every_role_can_have_its_rate() -> None:
    """Factors go to their roles alone; groups of the same rate and decay are one."""
    net = nn.Sequential(
        PiecewiseLinear([3, 2], 4),
        FeatureScale(8),
        MemberScale(8, 2),
        MemberLinear(8, 4, 2),
        ParametricActivation("mish", 4),
        nn.LayerNorm(4),
        MemberHeads(4, 1, 2),
    )
    factors = {"bias": 0.1, "scaling": 6.0, "activation": 0.1, "numeric": 0.5}
    groups = parameter_groups(net, 0.01, lr=2.0, lr_factors=factors)
    names = {id(p): name for name, p in net.named_parameters()}

    assert [
        (group["lr"], group["weight_decay"], {names[id(p)] for p in group["params"]})
        for group in groups
    ] == [
        (2.0, 0.01, {"3.shared.weight", "6.weight"}),
        (2.0, 0.0, {"2.scale", "3.scale_in", "3.scale_out", "5.weight", "5.bias"}),
        (pytest.approx(0.2), 0.0, {"3.bias", "4.share", "6.bias"}),
        (1.0, 0.0, {"0.weight", "0.linear_weight", "0.linear_bias"}),
        (12.0, 0.0, {"1.scale"}),
    ]


def test_in_a_stack_weights_decay_and_biases_do_not() -> None:
    """Of networks side by side the weights are weights, whatever the sizes, and biases are not."""
    net = nn.Sequential(StackedLinear(2, 3, 4), StackedLinear(2, 1, 1))

    assert [(one.name, one.role, one.decays) for one in decay_groups(net)] == [
        ("0.weight", "weight", True),
        ("0.bias", "bias", False),
        ("1.weight", "weight", True),
        ("1.bias", "bias", False),
    ]


@pytest.mark.parametrize(
    "given", [{"lr": 1.0, "lr_factors": {"bias": 0.0}}, {"lr_factors": {"bias": 2.0}}]
)
def test_a_rate_that_cannot_be_is_refused(given: dict[str, object]) -> None:
    """A factor must be above 0, and needs a rate to be a factor of."""
    with pytest.raises(
        ValueError, match="lr_factors must be above 0 and be passed together with lr"
    ):
        parameter_groups(nn.Linear(2, 1), 0.0, **given)


def test_going_by_names_would_be_wrong() -> None:
    """The trees tell apart: "all but *bias and *norm*" decays the scale of a batch norm."""
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    by_name = {
        name for name, _ in module.named_parameters() if "bias" not in name and "norm" not in name
    }
    ours = {one.name for one in decay_groups(module) if one.decays}

    assert by_name == {"0.weight", "1.weight"}
    assert ours == {"0.weight"}


def test_tied_weights_count_once() -> None:
    """A weight that two layers share is listed once, under its first name."""
    net = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    net[1].weight = net[0].weight

    assert [(one.name, one.role) for one in decay_groups(net)] == [("0.weight", "embedding")]


def test_lazy_parameters_are_named() -> None:
    """A parameter without a shape cannot be given a role."""
    with pytest.raises(ValueError, match=r"'0.weight' is lazy"):
        decay_groups(nn.Sequential(nn.LazyLinear(2)))
