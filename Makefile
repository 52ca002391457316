# One line per target. Everything runs in $(VENV): the active virtual environment, or .venv, made on first use.
VENV ?= $(shell test -x "$$VIRTUAL_ENV/bin/python" && echo "$$VIRTUAL_ENV")
override VENV := $(if $(filter /%,$(VENV)),,$(CURDIR)/)$(or $(VENV),.venv)
export PATH := $(VENV)/bin:$(PATH)

.PHONY: install repro full public peers weights test slow wheel lint licences report texts docs site verify smoke perf perf-baseline perf-against
install:         ; @.ci/install "$(VENV)"  ## the environment, qdr and the pinned versions; PYTHON=, TORCH_INDEX=: README
repro: install   ; dvc repro                                                    ## the whole pipeline
full: install    ; sh .ci/profile full                                           ## the full ablation, after `make repro`
public: install  ; sh .ci/profile public                                         ## real test sets; needs QDR_DATA
weights: install ; sh .ci/profile weights                                      ## what comes with qdr; needs QDR_DATA, better a CUDA device
peers: install   ; sh .ci/profile peers                                          ## restoration networks in one budget
test: install    ; pytest -n 2 --dist loadfile --doctest-modules qdr tests -m "not slow" -q ## fast tests and doctests
slow: install    ; pytest tests -m slow -q                                      ## slow tests
lint: install    ; ruff check . && ruff format --check . && mypy && lint-imports ## style, types, floors
licences: install ; .ci/licences                                                ## fails on a licence that is not on its list
report: install  ; dvc repro --single-item --force report                        ## tables, figures and page from results/ alone
site: install    ; qdr report site                                              ## the report as one web page, work/site/<profile>/index.html
texts: install   ; qdr report texts                                             ## numbers of README and docs from results/ alone
docs: install    ; sphinx-build -q -W --keep-going -b html docs work/docs      ## documentation, warnings are errors
verify: install  ; qdr report verify                                            ## tables, figures and pages are what results/ gives
wheel: install   ; .ci/wheel                                                     ## the wheel in an empty folder
smoke: install   ; sh .ci/smoke                                                 ## the whole pipeline, shortened, in a copy
perf: install    ; pytest benchmarks -q                                          ## fails where something got slower, with a table
perf-baseline: install ; pytest benchmarks -q --renew                           ## record this machine's ratios as its baseline
perf-against: install ; .ci/perf $(COMMIT)                                       ## compare with a commit, both measured here
