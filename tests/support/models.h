// What tests of real checkpoints need: the weights, which tools/get-models fetches, and the numbers
// of other programs in tests/data/reference.
#ifndef HN_TESTS_MODELS_H
#define HN_TESTS_MODELS_H

// The folder of a model by its name ("whisper-base"): $HORNITO_MODELS/NAME. Where it is not there
// the test is skipped by that name, or fails where HN_TEST_MODELS=required.
const char *model_folder(const char *name);

// The path of a file in tests/data/reference; `name` is a literal.
#define reference_path(name) HN_TEST_DATA "/reference/" name

#endif
