"""Parameter groups, optimizers and schedules, for any nn.Module."""

from afina.optim.averaging import Average, AveragingName
from afina.optim.fused_step import fused_step
from afina.optim.groups import (
    ParameterRole,
    Role,
    decay_groups,
    decayed_parameters,
    groups_table,
    parameter_groups,
)
from afina.optim.optimizers import OptimizerName, add_l2_grad_, make_optimizer
from afina.optim.schedule import ScheduleName, make_schedule
from afina.optim.shampoo import OneSidedShampoo, hidden_matrices

__all__ = [
    "Average",
    "AveragingName",
    "OneSidedShampoo",
    "OptimizerName",
    "ParameterRole",
    "Role",
    "ScheduleName",
    "add_l2_grad_",
    "decay_groups",
    "decayed_parameters",
    "fused_step",
    "groups_table",
    "hidden_matrices",
    "make_optimizer",
    "make_schedule",
    "parameter_groups",
]
