"""Admission: which objects a release may write at all, judged before the first write.

The rules are the deployer's own and those of the channel file that was *released* last, so no change can loosen the
rules for itself. What is judged is what would be sent, hooks included: nothing gets by that is rendered in another way
in the cluster. An object that a release leaves as it is needs no permission: so rules can be tightened, and introduced,
without a release being stuck on what runs already.
"""

from deploy_pipeline.admission.admitting import Admission, admit

__all__ = ["Admission", "admit"]
