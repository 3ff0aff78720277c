# corpusmill: every command a contributor needs. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# torch's CUDA libraries are no part of the lock: pip adds what the torch build on this machine asks for.
CUDA_PACKAGES := cuda-bindings cuda-pathfinder cuda-toolkit triton nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

.DEFAULT_GOAL := help

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "corpusmill needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python tests/support/kernels.py
	@touch $@

.PHONY: setup
setup: $(READY)  ## create .venv from requirements.lock, and compile the kernels

.PHONY: lock
lock:  ## write requirements.lock from pyproject.toml again (needs uv on the PATH)
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra flows --extra train --extra serve --extra dev \
		--no-annotate \
		--custom-compile-command "make lock" $(addprefix --no-emit-package ,$(CUDA_PACKAGES)) --upgrade -o requirements.lock

.PHONY: demo
demo: $(READY)  ## build a corpus from a real sample, verify it, pretrain a small BERT, GPT, BART and T5 on it
	$(BIN)/corpusmill sample build/sample
	$(BIN)/corpusmill build configs/corpus/demo.toml --out build/demo
	$(BIN)/corpusmill verify build/demo
	$(BIN)/corpusmill compare $(foreach family,gpt bert bart t5,configs/pretrain/$(family)_demo.toml) --bytes 1_000_000 --out build/models

# Workers of the tests: one a core at most, since tests start processes. A file stays on one worker: its fixtures are built once.
# (pytest-xdist 3.8 ignores its groups under pytest 9.2.)
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: test
test: $(READY)  ## run all tests; every run draws the same examples
	$(PYTEST)

.PHONY: test-thorough
test-thorough: $(READY)  ## run all tests with new and many more examples; before a release
	$(PYTEST) --hypothesis-profile=thorough

.PHONY: coverage
coverage: $(READY)  ## run all tests and print the lines that none of them runs
	$(PYTEST) --cov --cov-report=term:skip-covered

.PHONY: mutants
mutants: $(READY)  ## change one thing at a time in the code that must not be wrong, and see whether a test fails (OPTIONS="--area ledger --all")
	$(BIN)/python tests/mutants/run.py $(OPTIONS)

.PHONY: check
check: $(READY)  ## format, lint, types and the rules of who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

.PHONY: format
format: $(READY)  ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: deployments
deployments: $(READY)  ## serve the Prefect deployments on this machine; then: prefect deployment run corpus-build/local --watch
	$(BIN)/corpusmill deployments

.PHONY: bench-build
bench-build: $(READY)  ## documents/s and MB/s by dataset on 500 MB of HTML, and the share spent outside the text functions
	$(BIN)/python benchmarks/build.py

# The peers live apart: their pins are none of ours.
.venv-bench/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-bench
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["bench"], sep="\n")' \
		> .venv-bench/requirements.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r .venv-bench/requirements.txt
	@touch $@

.PHONY: bench-encode
bench-encode: $(READY)  ## encoding beside SentencePiece and Hugging Face tokenizers, one thread, ids compared
	$(BIN)/python benchmarks/encode.py $(OPTIONS)

.PHONY: bench-objectives
bench-objectives: $(READY)  ## M tokens/s of every objective on one core, from the step's number to padded arrays
	$(BIN)/python benchmarks/objectives.py $(OPTIONS)

.PHONY: bench-sampler
bench-sampler: $(READY)  ## rows/s and memory of the order of 10^10 rows
	$(BIN)/python benchmarks/sampler.py $(OPTIONS)

.PHONY: bench-models
bench-models: $(READY)  ## steps/s of every family beside Hugging Face's model of the same shape, losses in lockstep
	$(BIN)/python benchmarks/models.py $(OPTIONS)

.PHONY: bench-encoder
bench-encoder: $(READY)  ## training steps of ModernBERT's shape beside Hugging Face's; what skipped padding and local attention save
	$(BIN)/python benchmarks/encoder.py $(OPTIONS)

.PHONY: bench-serve
bench-serve: $(READY)  ## tokens/s of the server at 1, 8 and 64 clients beside transformers' own generation, wrong answers, memory
	$(BIN)/python benchmarks/serve.py $(OPTIONS)

.PHONY: bench-memory
bench-memory: $(READY)  ## the memory that a plan names beside the measured peak: four families, three sizes, with and without recomputation
	$(BIN)/python benchmarks/memory.py $(OPTIONS)

.PHONY: bench-ablations
bench-ablations: $(READY)  ## norms, positions and feed-forwards beside each other on the demo corpus (after make demo)
	$(BIN)/python benchmarks/ablations.py $(OPTIONS)

.PHONY: bench-kill
bench-kill: $(READY)  ## a run killed 20 times, some inside a save, against one that was not: bitwise (after make demo)
	$(BIN)/python benchmarks/kill.py $(OPTIONS)

.PHONY: bench-learning
bench-learning: $(READY)  ## character-level Shakespeare with three seeds; the four families on the same bytes, with BLiMP
	$(BIN)/python benchmarks/learning.py $(OPTIONS)

.PHONY: bench-tasks
bench-tasks: $(READY)  ## fine-tuning on the tasks of ../shared/data/downstream (OPTIONS="--only multi30k", "--base t5=build/t5_demo")
	$(BIN)/python benchmarks/tasks.py $(OPTIONS)

.PHONY: bench-small
bench-small: $(READY)  ## a fine-tuned BERT in 8 and 4 bits, without some heads and with two layers, in one table (OPTIONS="--run RUN")
	$(BIN)/python benchmarks/small.py $(OPTIONS)

.PHONY: bench-ancestors
bench-ancestors: $(READY)  ## n-grams, word2vec, GloVe and ELMo beside GPT and BERT on the same text, in one table (after make demo)
	$(BIN)/python benchmarks/ancestors.py $(OPTIONS)

.PHONY: bench-lifelong
bench-lifelong: $(READY)  ## three corpora one after the other: what a GPT forgets with nothing, replay, elastic weights and distillation
	$(BIN)/python benchmarks/lifelong.py $(OPTIONS)

.PHONY: bench-gpu
bench-gpu: $(READY)  ## tokens/s and MFU of a family on a GPU (FAMILY=bert|gpt|bart|t5, OPTIONS="--device cpu --size demo …" to try it)
	$(BIN)/python benchmarks/gpu/$(FAMILY).py $(OPTIONS)

.PHONY: bench-dedup
bench-dedup: $(READY) .venv-bench/.ready  ## deduplication beside datatrove, rensa and datasketch (OPTIONS="--documents 3400 --large 0")
	$(BIN)/python benchmarks/dedup.py $(OPTIONS)

.PHONY: bench-extract
bench-extract: $(READY) .venv-bench/.ready  ## main text of web pages beside Resiliparse, trafilatura and magic-html (OPTIONS="--structure FOLDER --soak 1000000")
	$(BIN)/python benchmarks/extract.py $(OPTIONS)

.PHONY: bench-decontamination
bench-decontamination: $(READY)  ## planted benchmark items that are found, and quotations and templates that are not
	$(BIN)/python benchmarks/decontamination.py $(OPTIONS)

.PHONY: bench-ingest
bench-ingest: $(READY) .venv-bench/.ready  ## the dataset `documents` beside datatrove on the same 500 MB of HTML, two workers each
	$(BIN)/python benchmarks/ingest.py $(OPTIONS)

.PHONY: bench-changes
bench-changes: $(READY)  ## what a change costs: a threshold, a licence, a takedown, one file of a hundred (OPTIONS="--megabytes 2000")
	$(BIN)/python benchmarks/changes.py $(OPTIONS)

.PHONY: bench-filters
bench-filters: $(READY) .venv-bench/.ready  ## the published rules beside datatrove's filters: verdict by verdict, and MB/s (OPTIONS="--documents 200")
	$(BIN)/python benchmarks/filters.py $(OPTIONS)

.PHONY: bench-report
bench-report: $(READY)  ## the page of a corpus of ten million documents: seconds and bytes (OPTIONS="--documents 1_000_000 --build OUT")
	$(BIN)/python benchmarks/report_page.py $(OPTIONS)

.PHONY: bench-quality-score
bench-quality-score: $(READY)  ## the quality score beside human labels (OPTIONS="--build build/demo" for that of a build's classifier)
	$(BIN)/python benchmarks/quality_score.py $(OPTIONS)

.PHONY: bench-annotate
bench-annotate: $(READY)  ## documents/s that fine-tuned models judge in a build, one row at a time and together (OPTIONS="--sizes base")
	$(BIN)/python benchmarks/annotate.py $(OPTIONS)

.PHONY: bench-quality
bench-quality: $(READY)  ## the quality rules beside human labels: bad pages removed, good ones kept, pages dropped by language
	$(BIN)/python benchmarks/quality.py $(OPTIONS)

.PHONY: bench-language
bench-language: $(READY)  ## languages of documents beside the bare model: by length, notices, two languages, close ones, limits
	$(BIN)/python benchmarks/language.py $(OPTIONS)

.PHONY: bench-about
bench-about: $(READY) .venv-bench/.ready  ## titles, authors and dates of web pages beside trafilatura
	$(BIN)/python benchmarks/about.py $(OPTIONS)

.PHONY: bench-private
bench-private: $(READY) .venv-bench/.ready  ## private data: precision and recall by type, false alarms, MB/s, beside datatrove (OPTIONS="--clean 100 --each 1")
	$(BIN)/python benchmarks/private.py $(OPTIONS)

.PHONY: structure-set
structure-set: $(READY)  ## build/structure-set: pages with code, tables and formulas, from Debian's documentation packages
	$(BIN)/python benchmarks/structure_set.py build/structure-set $(OPTIONS)

.PHONY: clean
clean:  ## remove what was built (the cache of downloads stays)
	rm -rf build .venv .venv-bench .prefect .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
