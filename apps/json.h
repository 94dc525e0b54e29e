// JSON as the subcommands write it. Where memory runs out while a result is put together, these
// say so and end the process with exit code 1: nothing half-made is written.
#ifndef HORNITO_APP_JSON_H
#define HORNITO_APP_JSON_H

#include <jansson.h>

#include "hornito/device.h"

json_t *app_json_object(void);
json_t *app_json_array(void);
// A string; bytes that are no ASCII become '?' where the whole is no UTF-8 (names from drivers).
json_t *app_json_text(const char *s);
json_t *app_json_int(int64_t x);
// A number; null where it is no finite one, as JSON has no other word for it.
json_t *app_json_number(double x);
// object[key] = value, or value at the end of the array; both take it.
void app_json_set(json_t *object, const char *key, json_t *value);
void app_json_add(json_t *array, json_t *value);
// A device: what it is called, its driver, limits, features.
json_t *app_json_device(const hn_device_info *d);
// Writes it to a file, whole or not at all ("-": standard output), and takes it. Returns an exit
// code; what went wrong was said.
int app_json_write(json_t *value, const char *path);

#endif
