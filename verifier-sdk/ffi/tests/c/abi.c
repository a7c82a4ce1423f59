/* Everything the header promises, as a C program: `abi FOLDER`, with the files of fixture.rs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "obol_verifier.h"

#define FILE_MAX 65536

static int failures = 0;
static size_t allocations = 0;
static const char *folder;

/* The linker sends every allocation of the program through these (-Wl,--wrap). */
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

void *__wrap_malloc(size_t size) { allocations++; return __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { allocations++; return __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { allocations++; return __real_realloc(old, size); }
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
  allocations++;
  return __real_posix_memalign(memory, alignment, size);
}

static void expect(int32_t found, int32_t expected, const char *what) {
  if (found != expected) {
    failures++;
    printf("%s: %s, not %s\n", what, obol_code_name(found), obol_code_name(expected));
  }
}

static void holds(int condition, const char *what) {
  if (!condition) {
    failures++;
    printf("%s: does not hold\n", what);
  }
}

static size_t load(const char *name, uint8_t *into) {
  char path[4096];
  size_t length;
  FILE *file;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    exit(2);
  }
  length = fread(into, 1, FILE_MAX - 1, file);
  fclose(file);
  into[length] = 0;
  return length;
}

static int32_t scan(obol_verifier *verifier, const char *name, uint32_t now, obol_result *result) {
  static uint8_t text[FILE_MAX];
  size_t length = load(name, text);
  size_t before = allocations;
  int32_t code;
  memset(result, 0xa5, sizeof *result);
  result->struct_size = sizeof *result;
  code = obol_verifier_scan(verifier, (const char *)text, length, now, result);
  holds(allocations == before, "a scan allocates nothing");
  return code;
}

static int32_t load_bundle(obol_verifier *verifier, const char *root, const char *bundle,
                           char *reason, size_t reason_size) {
  static uint8_t root_bytes[FILE_MAX], bundle_bytes[FILE_MAX];
  size_t root_len = load(root, root_bytes), bundle_len = load(bundle, bundle_bytes);
  return obol_verifier_load_bundle(verifier, root_bytes, root_len, bundle_bytes, bundle_len, reason,
                                   reason_size);
}

static int32_t put_list(obol_verifier *verifier, const char *name, uint32_t epoch, uint8_t *bits,
                        size_t size) {
  static uint8_t kid[FILE_MAX], list[FILE_MAX];
  size_t length = load(name, list);
  load("kid", kid);
  return obol_verifier_put_status_list(verifier, kid, epoch, list, length, bits, size);
}

static obol_verifier *make(const obol_limits *limits) {
  size_t size = obol_verifier_size(limits);
  void *memory = aligned_alloc(OBOL_VERIFIER_ALIGNMENT, size);
  expect(obol_verifier_init((obol_verifier *)memory, size, limits, "metro", 5), OBOL_OK, "init");
  return (obol_verifier *)memory;
}

static void mistakes_of_the_caller(const obol_limits *limits) {
  obol_limits bad = *limits;
  size_t size = obol_verifier_size(limits);
  char *memory = (char *)aligned_alloc(OBOL_VERIFIER_ALIGNMENT, size + OBOL_VERIFIER_ALIGNMENT);
  obol_verifier *verifier = (obol_verifier *)memory;
  obol_result result;
  obol_key key;
  memset(memory, 0, size);
  memset(&key, 0, sizeof key);
  result.struct_size = sizeof result;

  holds(obol_verifier_size(NULL) == 0, "no limits have no size");
  bad.keys = 65;
  holds(obol_verifier_size(&bad) == 0, "65 keys are too many");
  expect(obol_verifier_init(verifier, size, &bad, "metro", 5), OBOL_ERROR_LIMITS, "65 keys");
  bad.keys = 1;
  bad.table_chunks = 5;
  expect(obol_verifier_init(verifier, size, &bad, "metro", 5), OBOL_ERROR_LIMITS, "5 chunks");
  bad = *limits;
  bad.struct_size--;
  expect(obol_verifier_init(verifier, size, &bad, "metro", 5), OBOL_ERROR_STRUCT_SIZE, "a size");

  expect(obol_verifier_init(NULL, size, limits, "metro", 5), OBOL_ERROR_NULL, "no memory");
  expect(obol_verifier_init(verifier, size, NULL, "metro", 5), OBOL_ERROR_NULL, "no limits");
  expect(obol_verifier_init(verifier, size, limits, NULL, 5), OBOL_ERROR_NULL, "no operator");
  expect(obol_verifier_init(verifier, size, limits, "METRO", 5), OBOL_ERROR_OPERATOR, "METRO");
  expect(obol_verifier_init(verifier, size, limits, "", 0), OBOL_ERROR_OPERATOR, "no name");
  expect(obol_verifier_init(verifier, size - 1, limits, "metro", 5), OBOL_ERROR_MEMORY, "small");
  expect(obol_verifier_init((obol_verifier *)(memory + 8), size, limits, "metro", 5),
         OBOL_ERROR_ALIGNMENT, "crooked memory");

  expect(obol_verifier_scan(NULL, "PT1:", 4, 0, &result), OBOL_ERROR_NULL, "no verifier");
  expect(obol_verifier_scan(verifier, "PT1:", 4, 0, &result), OBOL_ERROR_NOT_INITIALISED, "fresh");
  expect(obol_verifier_clear_keys(verifier), OBOL_ERROR_NOT_INITIALISED, "fresh");
  expect(obol_verifier_init(verifier, size, limits, "metro", 5), OBOL_OK, "init");
  expect(obol_verifier_scan(verifier, NULL, 4, 0, &result), OBOL_ERROR_NULL, "no text");
  expect(obol_verifier_scan(verifier, NULL, 0, 0, &result), OBOL_UNKNOWN_SCHEME, "an empty text");
  expect(obol_verifier_scan(verifier, "PT1:", 4, 0, NULL), OBOL_ERROR_NULL, "no result");
  result.struct_size = 0;
  expect(obol_verifier_scan(verifier, "PT1:", 4, 0, &result), OBOL_ERROR_STRUCT_SIZE, "a result");
  expect(obol_verifier_add_key(verifier, NULL), OBOL_ERROR_NULL, "no key");
  key.struct_size = sizeof key;
  key.operator_name = "metro";
  key.operator_len = 5;
  expect(obol_verifier_add_key(verifier, &key), OBOL_ERROR_KEY, "a key without algorithm");
  key.algorithm = -51;
  expect(obol_verifier_add_key(verifier, &key), OBOL_ERROR_KEY, "a key without a point");
  expect(obol_verifier_suspend(verifier, NULL, 1), OBOL_ERROR_NULL, "no kids");
  expect(obol_verifier_load_bundle(verifier, NULL, 0, NULL, 0, NULL, 0), OBOL_ERROR_ROOT_REFUSED,
         "no root");
  free(memory);
}

static void trust(const obol_limits *limits, uint32_t now) {
  obol_verifier *verifier = make(limits);
  obol_result first, result;
  uint8_t kid[FILE_MAX];
  char reason[80];
  expect(scan(verifier, "code", now, &result), OBOL_UNKNOWN_KEY, "nothing is believed at first");
  expect(load_bundle(verifier, "foreign-root.pem", "bundle.cbor", reason, sizeof reason),
         OBOL_ERROR_BUNDLE_REFUSED, "another root");
  holds(strlen(reason) > 10, "a refusal has a reason");
  expect(load_bundle(verifier, "root.pem", "root.pem", reason, 4), OBOL_ERROR_BUNDLE_REFUSED,
         "no bundle");
  holds(strlen(reason) == 3, "a reason is cut to its room");
  expect(load_bundle(verifier, "bundle.cbor", "bundle.cbor", NULL, 0), OBOL_ERROR_ROOT_REFUSED,
         "no root");
  expect(load_bundle(verifier, "root.pem", "bundle.cbor", reason, sizeof reason), OBOL_OK, "PEM");
  holds(reason[0] == 0, "a bundle that is loaded leaves no reason");
  expect(load_bundle(verifier, "root.der", "bundle.cbor", NULL, 0), OBOL_OK, "DER");

  expect(scan(verifier, "code", now, &first), OBOL_OK, "a good code");
  holds(first.rule[0] == 0 && first.trust_is_stale == 0, "a good code breaks no rule");
  holds(first.code_issued_at == now && first.counter == 1 && first.rider_class == 1, "claims");
  holds(first.cap_minor == 1000 && first.window_s == 30 && first.status_index == 9, "fare terms");
  holds(first.presentation_len > 250, "the journal gets the bytes");
  expect(scan(verifier, "twin", now, &result), OBOL_OK, "the twin of a signature");
  holds(memcmp(first.kid, result.kid, 4) == 0 && memcmp(first.cti, result.cti, 8) == 0 &&
            memcmp(first.nonce, result.nonce, 4) == 0 &&
            first.code_issued_at == result.code_issued_at,
        "the twin is the same code");
  expect(scan(verifier, "second", now, &result), OBOL_OK, "the next code");
  holds(memcmp(first.nonce, result.nonce, 4) != 0, "the next code is another");
  expect(scan(verifier, "stale", now, &result), OBOL_CODE_STALE, "an old code");
  holds(strlen(result.rule) > 5 && result.presentation_len == 0, "a refusal says its rule alone");
  expect(scan(verifier, "code", now + 60, &result), OBOL_OK, "W and S to the second");
  expect(scan(verifier, "code", now + 61, &result), OBOL_CODE_STALE, "W and S to the second");
  expect(scan(verifier, "code", now - 30, &result), OBOL_OK, "S to the second");
  expect(scan(verifier, "code", now - 31, &result), OBOL_CODE_FUTURE, "S to the second");

  load("kid", kid);
  expect(obol_verifier_suspend(verifier, (const uint8_t(*)[4])kid, 1), OBOL_OK, "suspend");
  expect(scan(verifier, "code", now, &result), OBOL_KEY_SUSPENDED, "suspended, though cached");
  expect(load_bundle(verifier, "root.pem", "bundle.cbor", NULL, 0), OBOL_OK, "again");
  expect(scan(verifier, "code", now, &result), OBOL_KEY_SUSPENDED, "a bundle lifts no suspension");
  expect(obol_verifier_suspend(verifier, NULL, 0), OBOL_OK, "lift");
  expect(scan(verifier, "code", now, &result), OBOL_OK, "lifted");
  expect(obol_verifier_clear_keys(verifier), OBOL_OK, "clear");
  expect(scan(verifier, "code", now, &result), OBOL_UNKNOWN_KEY, "cleared, though cached");
  free(verifier);
}

static void status(const obol_limits *limits, uint32_t now) {
  obol_limits with_lists = *limits;
  obol_verifier *verifier;
  obol_result result;
  uint8_t bits[8];
  uint32_t epoch = (now - 3600) / 86400;
  with_lists.status_lists = 1;
  verifier = make(&with_lists);
  expect(load_bundle(verifier, "root.pem", "bundle.cbor", NULL, 0), OBOL_OK, "bundle");
  expect(scan(verifier, "code", now, &result), OBOL_STATUS_MISSING, "no list");
  expect(put_list(verifier, "code", epoch, bits, sizeof bits), OBOL_ERROR_STATUS_LIST_REFUSED,
         "no list");
  expect(put_list(verifier, "status-clear", epoch, bits, 7), OBOL_ERROR_MEMORY, "7 bytes");
  expect(put_list(verifier, "status-clear", epoch, bits, sizeof bits), OBOL_OK, "a list");
  expect(scan(verifier, "code", now, &result), OBOL_OK, "not denied");
  expect(put_list(verifier, "status-denied", epoch + 1, bits, sizeof bits),
         OBOL_ERROR_STATUS_LISTS_FULL, "a second list");
  expect(put_list(verifier, "status-denied", epoch, bits, sizeof bits), OBOL_OK, "the next list");
  expect(scan(verifier, "code", now, &result), OBOL_DENIED, "denied");
  expect(obol_verifier_drop_status_list(verifier, result.kid, epoch), OBOL_OK, "another key's");
  expect(scan(verifier, "code", now, &result), OBOL_DENIED, "still denied");
  free(verifier);
}

static void freshness(const obol_limits *limits, uint32_t now) {
  obol_limits patient = *limits;
  obol_verifier *verifier = make(limits);
  obol_result result;
  expect(load_bundle(verifier, "root.pem", "bundle.cbor", NULL, 0), OBOL_OK, "bundle");
  expect(scan(verifier, "last", now + 7199, &result), OBOL_OK, "the bundle's last second");
  expect(scan(verifier, "last", now + 7200, &result), OBOL_BUNDLE_EXPIRED, "one second later");
  free(verifier);
  patient.stale_grace_s = 10;
  verifier = make(&patient);
  expect(load_bundle(verifier, "root.pem", "bundle.cbor", NULL, 0), OBOL_OK, "bundle");
  expect(scan(verifier, "last", now + 7199, &result), OBOL_OK, "the bundle's last second");
  holds(result.trust_is_stale == 0, "still fresh");
  expect(scan(verifier, "last", now + 7209, &result), OBOL_OK, "the last second of grace");
  holds(result.trust_is_stale == 1, "stale is said");
  expect(scan(verifier, "last", now + 7210, &result), OBOL_BUNDLE_EXPIRED, "grace is over");
  free(verifier);
  patient.stale_grace_s = 259201;
  holds(obol_verifier_size(&patient) == 0, "more than 72 h of grace are refused");
}

int main(int argc, char **argv) {
  static uint8_t text[FILE_MAX];
  obol_limits limits;
  uint32_t now, chunks;
  const uint32_t sizes[] = {0, 4, 8, 16, 32};
  if (argc != 2) return 2;
  folder = argv[1];
  load("now", text);
  now = (uint32_t)strtoul((const char *)text, NULL, 10);
  memset(&limits, 0, sizeof limits);
  limits.struct_size = sizeof limits;
  limits.keys = 2;
  limits.cached_credentials = 64;
  holds(obol_verifier_abi_version() == 1, "the interface is version 1");
  holds(strcmp(obol_code_name(9), "CODE_STALE") == 0, "codes have names");
  for (chunks = 0; chunks < sizeof sizes / sizeof *sizes; chunks++) {
    limits.table_chunks = sizes[chunks];
    mistakes_of_the_caller(&limits);
    trust(&limits, now);
    status(&limits, now);
    freshness(&limits, now);
  }
  printf("%d failures, %zu bytes for two keys at most\n", failures, obol_verifier_size(&limits));
  return failures != 0;
}
