"""The laboratory: what measures the package, and makes the tables and pictures of its pages. It is not installed.

Each command is run from the root of a checkout; `--help` says what it takes. What measures writes a results file:
`--output notebooks/results/NAME.json`.

    python -m notebooks.lab.sweep NAME         compares rules, or settings of KeRNL, run by run
    python -m notebooks.lab.alignment          compares the rules' gradients with backpropagation's
    python -m notebooks.lab.benchmark          times the training step, here and in other packages
    python -m notebooks.lab.memory             compares gradients with windows by what crosses their borders
    python -m notebooks.lab.worth              compares settings of linear memory by gradient, numbers and operations
    python -m notebooks.lab.borders            compares gradients of pieces with those of whole sequences, by layers
    python -m notebooks.lab.stream             learns from millions of steps in pieces, and reports its memory
    python -m notebooks.lab.streams TASK       compares rules, or learning rates, on streams
    python -m notebooks.lab.streams_braintrace  lets BrainTrace's rules learn from the stream of digits
    python -m notebooks.lab.speakers           lets a network meet a speaker that it has never heard
    python -m notebooks.lab.gru                trains a GRU on the spoken digits, for comparison
    python -m notebooks.lab.sound              lets a network hear words at other levels and depths, and other sounds
    python -m notebooks.lab.device             learns in LiteRT, step by step, and compares with fit
    python -m notebooks.lab.compiling          times the first call of a training step, for all that a layer allows
    python -m notebooks.lab.stablehlo          writes the training step for JAX's XLA, which times it without TensorFlow
    python -m notebooks.lab.race               trains here and in other packages, and compares accuracy by the second
    python -m notebooks.lab.guide              follows the guide on public series, beside a GRU
    python -m notebooks.lab.recipe             tries other choices than the guide has, on held-out training data
    python -m notebooks.lab.results            makes the tables and plots of a document from results files
    python -m notebooks.lab.revisions          says which code has changed since each results file was made
    python -m notebooks.lab.structure --before REVISION  measures the code and its steps, then and now
    python -m notebooks.lab.repeat             repeats the first updates of old results, and says which still begin so
    python -m notebooks.lab.pictures           draws the other pictures
    python -m notebooks.lab.kills              kills training at random moments, and goes on with it
    python -m notebooks.lab.mutants            breaks the equations, and reports which breaks no test notices
    python -m notebooks.lab.nir_round_trip     runs trained networks in other simulators
    python -m notebooks.lab.pack RUN_DIR NAME  makes a pretrained network of a run
    python -m notebooks.lab.make_ecg           makes the packaged heartbeats of their sources
    python -m notebooks.lab.make_sample        makes the packaged sample of MNIST
"""
