/* Runs every file of tests/vectors/pt1 through the C ABI: `vectors FOLDER`. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "obol_verifier.h"

#define FILE_MAX 65536
#define POINT_MAX 97

static union {
  uint8_t bytes[1 << 20];
  long double alignment;
} memory;

static size_t unhex(const char *hex, size_t length, uint8_t *into) {
  size_t at;
  for (at = 0; at + 1 < length; at += 2) {
    char pair[3];
    memcpy(pair, hex + at, 2);
    pair[2] = 0;
    into[at / 2] = (uint8_t)strtoul(pair, NULL, 16);
  }
  return length / 2;
}

/* The value behind "NAME=" in a line of trust, up to the next space. */
static const char *field(const char *line, const char *name, size_t *length) {
  const char *found = strstr(line, name);
  if (found == NULL) {
    printf("no %s in %s\n", name, line);
    exit(2);
  }
  found += strlen(name);
  *length = strcspn(found, " \n");
  return found;
}

static uint32_t number(const char *line, const char *name, int base) {
  size_t length;
  return (uint32_t)strtoul(field(line, name, &length), NULL, base);
}

static int trust(obol_verifier *verifier, const char *line) {
  uint8_t point[POINT_MAX];
  const char *hex, *status;
  size_t length;
  obol_key key;
  memset(&key, 0, sizeof key);
  key.struct_size = sizeof key;
  key.algorithm = (int32_t)strtol(field(line, "alg=", &length), NULL, 10);
  hex = field(line, "point=", &length);
  key.point_len = unhex(hex, length, point);
  key.point = point;
  key.not_before = number(line, "not_before=", 10);
  key.not_after = number(line, "not_after=", 10);
  key.operator_name = field(line, "operator=", &length);
  key.operator_len = length;
  key.classes = number(line, "classes=", 16);
  status = field(line, "status=", &length);
  key.suspended = strncmp(status, "suspended", length) == 0;
  return obol_verifier_add_key(verifier, &key) == OBOL_OK;
}

static char *value(char *line, const char *key) {
  size_t length = strlen(key);
  return strncmp(line, key, length) == 0 ? line + length : NULL;
}

static int runs(const char *path) {
  static char file[FILE_MAX];
  static uint8_t text[FILE_MAX];
  char *line, *next, *found, *expected = NULL, *operator_name = NULL, *counter = NULL, *cap = NULL;
  size_t length, text_len = 0;
  uint32_t now = 0;
  int32_t code;
  obol_limits limits;
  obol_result result;
  obol_verifier *verifier = (obol_verifier *)memory.bytes;
  FILE *stream = fopen(path, "rb");
  if (stream == NULL) return 0;
  length = fread(file, 1, sizeof file - 1, stream);
  fclose(stream);
  file[length] = 0;

  memset(&limits, 0, sizeof limits);
  limits.struct_size = sizeof limits;
  limits.keys = 4;
  limits.table_chunks = 4;
  limits.cached_credentials = 16;
  for (line = file; *line != 0; line = next) {
    next = strchr(line, '\n');
    if (next == NULL) return 0;
    *next++ = 0;
    if ((found = value(line, "expect: ")) != NULL) expected = found;
    if ((found = value(line, "operator: ")) != NULL) operator_name = found;
    if ((found = value(line, "counter: ")) != NULL) counter = found;
    if ((found = value(line, "cap: ")) != NULL) cap = found;
    if ((found = value(line, "now: ")) != NULL) now = (uint32_t)strtoul(found, NULL, 10);
    if ((found = value(line, "text: ")) != NULL) {
      text_len = strlen(found);
      memcpy(text, found, text_len);
    }
    if ((found = value(line, "text_hex: ")) != NULL) text_len = unhex(found, strlen(found), text);
  }
  if (expected == NULL || operator_name == NULL) return 0;
  if (obol_verifier_init(verifier, sizeof memory.bytes, &limits, operator_name,
                         strlen(operator_name)) != OBOL_OK)
    return 0;
  for (line = file; line < file + length; line += strlen(line) + 1) {
    found = value(line, "trust: ");
    if (found != NULL && !trust(verifier, found)) return 0;
  }
  result.struct_size = sizeof result;
  code = obol_verifier_scan(verifier, (const char *)text, text_len, now, &result);
  if (strcmp(obol_code_name(code), expected) != 0) {
    printf("%s: %s, not %s\n", path, obol_code_name(code), expected);
    return 0;
  }
  return code != OBOL_OK || (result.counter == (uint32_t)strtoul(counter, NULL, 10) &&
                             result.cap_minor == (uint32_t)strtoul(cap, NULL, 10));
}

int main(int argc, char **argv) {
  struct dirent *entry;
  DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
  int vectors = 0;
  if (folder == NULL) return 2;
  while ((entry = readdir(folder)) != NULL) {
    char path[4096];
    size_t length = strlen(entry->d_name);
    if (length < 4 || strcmp(entry->d_name + length - 4, ".vec") != 0) continue;
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    if (!runs(path)) {
      printf("%s does not hold\n", path);
      closedir(folder);
      return 1;
    }
    vectors++;
  }
  closedir(folder);
  printf("%d vectors hold\n", vectors);
  return 0;
}
