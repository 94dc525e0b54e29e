// hornito COMMAND [SUBCOMMAND] [options]: finds the subcommand and calls it.
#include "app.h"

#include <stdio.h>
#include <string.h>

#ifndef HORNITO_VERSION
#error "HORNITO_VERSION is set by the build"
#endif

#define APP_COMMAND(words, fn, arguments, help, example) int fn(int argc, const char **argv);
#include "commands.def"
#undef APP_COMMAND

#define APP_COMMAND(words, fn, arguments, help, example) { words, fn, arguments, help, example },
const app_command app_commands[] = {
#include "commands.def"
    { NULL, NULL, NULL, NULL, NULL },
};
#undef APP_COMMAND

enum { MAX_WORDS = 128 };

// Length of the first of a command's words.
static size_t group(const char *words)
{
    return strcspn(words, " ");
}

static bool in_group(const char *words, const char *name)
{
    return strlen(name) == group(words) && !strncmp(words, name, group(words));
}

static void print_commands(FILE *f, const char *only)
{
    int width = 0;
    for (const app_command *c = app_commands; c->words; c++)
        width = (int)strlen(c->words) > width ? (int)strlen(c->words) : width;
    for (const app_command *c = app_commands; c->words; c++)
        if (!only || in_group(c->words, only))
            fprintf(f, "  %-*s  %s\n", width, c->words, c->help);
}

static int help(void)
{
    puts("Usage: hornito COMMAND [SUBCOMMAND] [options]\n"
         "Train and run discrete-bottleneck models on any GPU, or without one.\n\nCommands:");
    print_commands(stdout, NULL);
    printf("\n  hornito COMMAND --help   options and an example\n"
           "  hornito --version        the version\n\nExample:\n  %s\n", app_commands[0].example);
    return APP_DONE;
}

static int group_help(const char *name)
{
    const app_command *first = app_commands;
    while (!in_group(first->words, name))
        first++;
    printf("Usage: hornito %s SUBCOMMAND [options]\n\nSubcommands:\n", name);
    print_commands(stdout, name);
    printf("\nExample:\n  %s\n", first->example);
    return APP_DONE;
}

// `typed` is no command: says so, with the nearest one of the words from which it was to be
// chosen (those after `after`, or the first words where it is NULL).
static int unknown(const char *typed, const char *after)
{
    const char *words[MAX_WORDS] = { NULL };
    char first[MAX_WORDS][32];
    int n = 0;
    for (const app_command *c = app_commands; c->words && n < MAX_WORDS; c++) {
        const size_t len = group(c->words);
        if (after && (!in_group(c->words, after) || !c->words[len]))
            continue;
        snprintf(first[n], sizeof *first, "%.*s", (int)(after ? strlen(c->words) : len),
                 after ? c->words + len + 1 : c->words);
        words[n] = first[n];
        n++;
    }
    const int near = app_nearest(typed, words, n);
    const char *space = after ? " " : "";
    fprintf(stderr, "hornito: no command '%s%s%s'", after ? after : "", space, typed);
    if (near >= 0)
        fprintf(stderr, "; did you mean '%s%s%s'?\n", after ? after : "", space, words[near]);
    else
        fprintf(stderr, "; hornito%s%s --help lists what there is\n", space, after ? after : "");
    return APP_USAGE;
}

static bool asks_help(const char *arg)
{
    return !strcmp(arg, "--help") || !strcmp(arg, "-h");
}

static int run(int argc, const char **argv)
{
    bool is_group = false;
    for (const app_command *c = app_commands; c->words; c++) {
        const size_t len = group(c->words);
        if (!in_group(c->words, argv[1]))
            continue;
        if (c->words[len]) {
            is_group = true;
            if (argc < 3 || strcmp(c->words + len + 1, argv[2]))
                continue;
        }
        const int skip = c->words[len] ? 2 : 1;
        argv[skip] = c->words;
        return c->fn(argc - skip, argv + skip);
    }
    if (!is_group)
        return unknown(argv[1], NULL);
    if (argc > 2 && asks_help(argv[2]))
        return group_help(argv[1]);
    if (argc > 2 && argv[2][0] != '-')
        return unknown(argv[2], argv[1]);
    fprintf(stderr, "hornito: %s: a subcommand is missing; hornito %s --help lists them\n",
            argv[1], argv[1]);
    return APP_USAGE;
}

static int dispatch(int argc, const char **argv)
{
    if (argc < 2) {
        fputs("hornito: a command is missing; hornito --help lists them\n", stderr);
        return APP_USAGE;
    }
    if (asks_help(argv[1]))
        return help();
    if (!strcmp(argv[1], "--version")) {
        puts("hornito " HORNITO_VERSION);
        return APP_DONE;
    }
    if (argv[1][0] == '-') {
        fprintf(stderr, "hornito: '%s' before a command: options stand after it; hornito --help\n",
                argv[1]);
        return APP_USAGE;
    }
    return run(argc, argv);
}

int main(int argc, const char **argv)
{
    const int rc = dispatch(argc, argv);
    // What was printed may still be lost: a full disk, a closed pipe.
    if (fflush(stdout) || ferror(stdout)) {
        fputs("hornito: standard output could not be written; free space, or write to another "
              "place\n",
              stderr);
        return rc ? rc : APP_FAILED;
    }
    return rc;
}
