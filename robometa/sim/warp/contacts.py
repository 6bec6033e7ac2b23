"""Friction of a capsule on a plane in the directions that MuJoCo gives it, where MuJoCo Warp 4.0 gives it others.

MuJoCo lays the first tangent of such a contact along the capsule, however steeply it stands. MuJoCo Warp does so up to
60 degrees from the plane, and lays it along an axis of the world beyond. With pyramids for friction cones the force
depends on it: an ant's velocities part by up to 1 rad/s in a control step.
"""

# Warp reads the kernel's annotations as they stand, so they cannot be postponed here.
import mujoco_warp
import warp

PLANE = warp.constant(int(mujoco_warp.GeomType.PLANE))
CAPSULE = warp.constant(int(mujoco_warp.GeomType.CAPSULE))


@warp.kernel  # type: ignore[untyped-decorator]
def _lay_along_capsules(
    geom_type: warp.array(dtype=int),  # type: ignore[valid-type]
    geom_xmat: warp.array2d(dtype=warp.mat33),  # type: ignore[valid-type]
    count: warp.array(dtype=int),  # type: ignore[valid-type]
    geoms: warp.array(dtype=warp.vec2i),  # type: ignore[valid-type]
    world: warp.array(dtype=int),  # type: ignore[valid-type]
    frame: warp.array(dtype=warp.mat33),  # type: ignore[valid-type]
) -> None:
    contact = warp.tid()
    if contact >= count[0]:
        return
    pair = geoms[contact]
    if pair[0] < 0 or pair[1] < 0:
        return
    if geom_type[pair[0]] != PLANE or geom_type[pair[1]] != CAPSULE:
        return
    turn = geom_xmat[world[contact], pair[1]]
    axis = warp.vec3(turn[0, 2], turn[1, 2], turn[2, 2])
    normal = warp.vec3(frame[contact][0, 0], frame[contact][0, 1], frame[contact][0, 2])
    along = axis - normal * warp.dot(normal, axis)
    length = warp.length(along)
    if length < 1.0e-6:  # it stands upright, and any direction is as good
        return
    along = along / length
    across = warp.cross(normal, along)
    frame[contact] = warp.matrix_from_rows(normal, along, across)


def lay_along_capsules(model: mujoco_warp.Model, state: mujoco_warp.Data) -> None:
    """Turns the contacts of capsules on planes as MuJoCo has them; MuJoCo Warp calls it after finding contacts."""
    contact = state.contact
    warp.launch(
        _lay_along_capsules,
        dim=state.naconmax,
        inputs=[model.geom_type, state.geom_xmat, state.nacon, contact.geom, contact.worldid, contact.frame],
    )
