"""The rules by the labels of the recorded numbers."""

from kernl_keras.rules import BPTT, RFLO, EProp, Exponential, KeRNL, PlainKeRNL, ReadoutOnly, Replica, Tangent, Twin

STD = 0.3
GRADIENTS = {
    "kernl": KeRNL(),
    "kernl, reset not followed": KeRNL(reset_gradient=False),
    "kernl, twin": KeRNL(perturbation=Twin(STD)),
    "kernl, replica": KeRNL(perturbation=Replica(STD)),
    "kernl, voltage, resync 3": KeRNL(perturbation=Tangent(observe="voltage", resync_every=3)),
    "kernl, exponential": KeRNL("exponential"),
    "kernl, 2 exponentials": KeRNL(Exponential(2)),
    "plain, current": PlainKeRNL(noise="current"),
    "plain, synapse": PlainKeRNL(noise="synapse"),
    "plain, activity, 2 kernels": PlainKeRNL(Exponential(2), noise="activity"),
    "plain, synapse, trace, last": PlainKeRNL(noise="synapse", post_factor="trace", credit="last"),
    "reference": PlainKeRNL.reference(50),
    "eprop": EProp(),
    "eprop, no adaptation": EProp(adaptation=False),
    "eprop, reset": EProp(reset_gradient=True),
    "rflo": RFLO(),
    "readout_only": ReadoutOnly(),
    "bptt": BPTT(),
    "bptt, tape": BPTT(tape=True),
}
CURVES = {  # label: word and settings, as an experiment has them
    "kernl": ("kernl", {}),
    "kernl-exponential": ("kernl", {"kernel": "exponential"}),
    "kernl-exponential-2": ("kernl", {"kernel": Exponential(2)}),
    "plain": ("plain_kernl", {}),
    "eprop": ("eprop", {"adaptation": False}),
    "eprop-adaptation": ("eprop", {}),
    "eprop-reset": ("eprop", {"reset_gradient": True}),
    "rflo": ("rflo", {}),
    "readout": ("readout_only", {}),
    "bptt": ("bptt", {"tape": True}),
    "bptt-adjoint": ("bptt", {}),
}
