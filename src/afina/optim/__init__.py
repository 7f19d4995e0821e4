"""Parameter groups, optimizers and schedules, for any nn.Module."""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.optim.averaging import Average
    from afina.optim.fused_adam import fused_step
    from afina.optim.groups import (
        ParameterRole,
        Role,
        decay_groups,
        decayed_parameters,
        parameter_groups,
    )
    from afina.optim.optimizers import add_l2_grad_, make_optimizer, optimizer_from
    from afina.optim.schedule import make_schedule
    from afina.optim.settings import (
        AveragingName,
        AveragingSettings,
        OptimizerName,
        OptimSettings,
        ScheduleName,
    )
    from afina.optim.shampoo import OneSidedShampoo, hidden_matrices
else:
    __getattr__ = import_on_use(
        __name__,
        averaging=["Average"],
        fused_adam=["fused_step"],
        groups=[
            "ParameterRole",
            "Role",
            "decay_groups",
            "decayed_parameters",
            "parameter_groups",
        ],
        optimizers=["add_l2_grad_", "make_optimizer", "optimizer_from"],
        schedule=["make_schedule"],
        settings=[
            "AveragingName",
            "AveragingSettings",
            "OptimSettings",
            "OptimizerName",
            "ScheduleName",
        ],
        shampoo=["OneSidedShampoo", "hidden_matrices"],
    )

__all__ = [
    "Average",
    "AveragingName",
    "AveragingSettings",
    "OneSidedShampoo",
    "OptimSettings",
    "OptimizerName",
    "ParameterRole",
    "Role",
    "ScheduleName",
    "add_l2_grad_",
    "decay_groups",
    "decayed_parameters",
    "fused_step",
    "hidden_matrices",
    "make_optimizer",
    "make_schedule",
    "optimizer_from",
    "parameter_groups",
]
