// What the subcommands of `hornito` share: options, devices, failing in words, Ctrl-C.
//
// A subcommand is a row of commands.def and one function. Its usual shape:
//
//     int app_lm_eval(int argc, const char **argv)
//     {
//         app_device_options dev = { 0 };
//         int batch = 8;
//         const struct poptOption options[] = {
//             { "batch", 'b', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &batch, 0, "sequences a
//             step", "N" }, APP_DEVICE_OPTIONS(dev), APP_COMMON_OPTIONS,
//         };
//         app_args args;
//         int rc = app_begin(argc, argv, options, &args);
//         if (rc < 0)
//             rc = eval(args.rest, args.n_rest, &dev, batch);
//         return app_end(&args, rc);
//     }
#ifndef HORNITO_APP_H
#define HORNITO_APP_H

#include "hornito/device.h"
#include "hornito/lm.h"

#include <popt.h>

// Exit codes.
enum { APP_DONE = 0, APP_FAILED = 1, APP_USAGE = 2 };

// A subcommand. argv[0] is its words ("lm train"); returns an exit code.
typedef int (*app_fn)(int argc, const char **argv);

typedef struct app_command {
    const char *words;     // one or two words
    app_fn fn;
    const char *arguments; // what follows the options in the usage line; may be ""
    const char *help;      // one line
    const char *example;   // a whole command that runs: tests/test_apps.sh runs it
} app_command;

// Every subcommand in the order of commands.def; ends with words NULL.
extern const app_command app_commands[];

// ---- options -------------------------------------------------------------------------------

typedef struct app_args {
    const char **rest; // arguments that are not options; valid until app_end
    int n_rest;
    const app_command *command;
    const struct poptOption *options;
    poptContext context;
    char name[64]; // "hornito lm train"
    char *first[64]; // what the string options held before parsing
} app_args;

// Reads the options into what the table points at. -1: go on; otherwise an exit code to return
// through app_end (0 after --help; 2 after a mistake, which was said). Rows have val 0; a string
// option is a `char *`, freed by app_end. Sets the log to stderr at the level of -v.
int app_begin(int argc, const char **argv, const struct poptOption *options, app_args *args);
// Frees what parsing made, and returns rc.
int app_end(app_args *args, int rc);

#define APP_COMMON_OPTIONS                                                                        \
    { "verbose", 'v', POPT_ARG_NONE, NULL, 'v', "say more (twice: still more)", NULL },           \
    { "help", 'h', POPT_ARG_NONE, NULL, 'h', "show this", NULL },                                 \
    POPT_TABLEEND

// The index of the word of `list` (n of them) nearest to `word`, or -1 where none is near.
int app_nearest(const char *word, const char *const list[], int n);

// ---- devices -------------------------------------------------------------------------------

typedef struct app_device_options {
    char *spec, *mask, *cache; // as given; NULL: not given
    int phone, validation;     // 0 or 1
    int threads;               // 0: one for each processor
    double tune;               // seconds for measuring kernels; 0: none
    int untested;              // 0 or 1: kernels without a self-test
} app_device_options;

#define APP_DEVICE_OPTIONS(o)                                                                     \
    { "device", 'd', POPT_ARG_STRING, &(o).spec, 0,                                               \
      "auto, cpu, ref, vulkan, vulkan:N, vulkan:UUID or vulkan:NAME", "SPEC" },                   \
    { "mask", 0, POPT_ARG_STRING, &(o).mask, 0, "behave as if the device lacked these",           \
      "FEATURE,..." },                                                                            \
    { "phone", 0, POPT_ARG_NONE, &(o).phone, 0, "behave as a small phone", NULL },                \
    { "validation", 0, POPT_ARG_NONE, &(o).validation, 0,                                         \
      "turn the Vulkan validation layer on; a message is a failure", NULL },                      \
    { "threads", 't', POPT_ARG_INT, &(o).threads, 0, "host threads (0: all processors)", "N" },   \
    { "cache", 0, POPT_ARG_STRING, &(o).cache, 0,                                                 \
      "where compiled pipelines and what was measured are kept", "DIR" },                         \
    { "tune", 0, POPT_ARG_DOUBLE, &(o).tune, 0,                                                   \
      "measure a Vulkan device's kernels for shapes met the first time, this long at most",       \
      "SECONDS" },                                                                                \
    { "untested", 0, POPT_ARG_NONE, &(o).untested, 0,                                             \
      "use kernels that were never compared with their reference on this driver", NULL }

// Opens the device that the options name. Errors: ARG (no such device or feature; what there is
// stands in the text), and hn_device_open's. *out is NULL on failure.
hn_status app_open_device(const app_device_options *o, hn_device **out);
// As app_open_device for another device than the options name: "ref", "cpu".
hn_status app_open_other(const app_device_options *o, const char *spec, hn_device **out);
// Closes it and sets *d to NULL. Returns rc, or 1 (and says so) where rc is 0 and the validation
// layer had something to say. *d may be NULL.
int app_close_device(hn_device **d, int rc);
// The folder for caches: --cache, or ${XDG_CACHE_HOME:-~/.cache}/hornito. NULL (and a warning)
// where there is none or it cannot be made. Freed by hn__free.
char *app_cache_dir(const app_device_options *o);

// ---- models --------------------------------------------------------------------------------

// What --model names: a path, or else a model of this name that tools/get-models has put into
// $HORNITO_MODELS, or ${XDG_CACHE_HOME:-~/.cache}/hornito/models: its folder, or the GGUF file
// that is all there is in it. A path always wins, and what is neither comes back as it is.
// *out is freed by hn__free. Errors: IO (a known name that is not there yet; the text says how to
// fetch it), NOMEM.
hn_status app_model_path(const char *name, char **out);

#define APP_MODEL_OPTION(path)                                                                    \
    { "model", 'm', POPT_ARG_STRING, &(path), 0,                                                  \
      "a folder or file of a checkpoint, the folder of a run, or a name of tools/get-models",     \
      "MODEL" }

// How lm generate and lm chat choose tokens; starts with a command's own defaults.
typedef struct app_sampling {
    int tokens, top_k;
    double temperature, top_p;
    long long seed;
} app_sampling;
#define APP_SAMPLING_OPTIONS(o, most)                                                             \
    { "tokens", 'n', POPT_ARG_INT | POPT_ARGFLAG_SHOW_DEFAULT, &(o).tokens, 0, most, "N" },       \
        { "temperature", 0, POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &(o).temperature, 0,     \
          "0: the likeliest always", "X" },                                                       \
        { "top-k", 0, POPT_ARG_INT, &(o).top_k, 0, "choose among the K likeliest (0: all)",       \
          "K" },                                                                                  \
        { "top-p", 0, POPT_ARG_DOUBLE, &(o).top_p, 0,                                             \
          "choose among the likeliest with this much probability", "P" },                         \
    {                                                                                             \
        "seed", 0, POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &(o).seed, 0,                   \
            "of the choices", "N"                                                                 \
    }
// Into the fields of *out that they name. 0, or an exit code after saying what is wrong.
int app_read_sampling(const app_sampling *o, hn_sample_params *out);

#define APP_ACTIVATIONS_OPTION(word)                                                              \
    { "activations", 0, POPT_ARG_STRING | POPT_ARGFLAG_SHOW_DEFAULT, &(word), 0,                  \
      "f32, or i8: what meets quantised weights is rounded to 8 bits (faster, less exact)", "TYPE" }
// Whether the word of that option is i8; NULL is f32. Errors: ARG for another one.
hn_status app_read_activations(const char *word, bool *i8);

// ---- saying --------------------------------------------------------------------------------

// Each prints "hornito: <command>: <text>" as one line on stderr and returns an exit code.
int app_fail(hn_status s); // 1, hn_error_text's; 0 for HN_OK
int app_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // 1
int app_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // 2, and where help is

// "1.2 MiB", "0.8 s", "3 min 20 s" into buf (32 bytes are enough); returns buf.
const char *app_bytes_text(double n_bytes, char *buf, size_t n);
const char *app_time_text(double seconds, char *buf, size_t n);

// ---- reading -------------------------------------------------------------------------------

// A whole file, or standard input for "-", up to 256 MiB. *out is freed by hn__free.
// Errors: IO, NOMEM; ARG where there is more.
hn_status app_read_text(const char *file, char **out, size_t *n);

// ---- Ctrl-C --------------------------------------------------------------------------------

// From now on the first Ctrl-C (or SIGTERM) only sets a flag, and interrupts reading; the second
// ends the process at once. May be called again, to begin anew.
void app_catch_interrupts(void);
// True after the first one.
bool app_interrupted(void);

#endif
