from domain.deployments.values import Blueprint
from workers.provisioner.built_images import REVISIONS_KEPT, images_kept


def test_what_is_wanted_and_the_last_revisions_that_were_live_are_kept() -> None:
    blueprints = {number: Blueprint(image=f"code-{number}", port=80) for number in range(1, 11)}
    kept = images_kept(10, blueprints, lived=(1, 2, 4, 5, 6, 7, 8))
    assert REVISIONS_KEPT == 5
    assert kept == {"code-10", "code-4", "code-5", "code-6", "code-7", "code-8"}


def test_a_revision_that_the_state_forgot_keeps_nothing() -> None:
    assert images_kept(3, {3: Blueprint(image="code", port=80)}, lived=(1, 2)) == {"code"}
