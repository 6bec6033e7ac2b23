"""Names of MuJoCo's numbers that the physics of a model depend on, and that no other of them determines."""

NAMES = """
qpos0 qpos_spring
body_pos body_quat body_ipos body_iquat body_mass body_inertia body_gravcomp
jnt_pos jnt_axis jnt_range jnt_stiffness jnt_margin jnt_solref jnt_solimp jnt_actfrcrange
dof_armature dof_damping dof_frictionloss dof_solref dof_solimp
geom_pos geom_quat geom_size geom_rbound geom_friction geom_margin geom_gap geom_solmix geom_solref geom_solimp
site_pos site_quat site_size
tendon_range tendon_margin tendon_stiffness tendon_damping tendon_frictionloss tendon_lengthspring
tendon_solref_lim tendon_solimp_lim tendon_solref_fri tendon_solimp_fri wrap_prm
eq_data eq_solref eq_solimp
pair_friction pair_margin pair_gap pair_solref pair_solreffriction pair_solimp
actuator_gainprm actuator_biasprm actuator_dynprm actuator_gear actuator_cranklength actuator_lengthrange
actuator_ctrlrange actuator_forcerange actuator_actrange
actuator_gaintype actuator_biastype actuator_dyntype
"""
PHYSICAL = tuple(NAMES.split())
"""Arrays of a model. `mj_setConst` computes what follows from them. The browser has none of truth values."""
OPTIONS = (
    "timestep",
    "gravity",
    "wind",
    "magnetic",
    "density",
    "viscosity",
    "impratio",
    "tolerance",
    "ls_tolerance",
    "o_margin",
    "o_solref",
    "o_solimp",
    "o_friction",
)
"""Numbers of a model's options."""
