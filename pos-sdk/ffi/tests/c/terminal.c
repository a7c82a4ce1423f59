/* Everything that obol_pos.h promises, as a C program: `terminal ACT FOLDER`, the folder made by
 * fixture.rs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "obol_pos.h"

#define FILE_MAX 65536
#define CHECK(found, expected) expect((found), (expected), __LINE__)

static int failures = 0;
static const char *folder;
static uint32_t now;
static char reason[200];
static uint8_t bytes[FILE_MAX];

static void expect(int32_t found, int32_t expected, int line) {
  if (found != expected) {
    failures++;
    printf("line %d: %s, not %s (%s)\n", line, obol_pos_code_name(found),
           obol_pos_code_name(expected), reason);
  }
}

static void holds(int condition, int line) {
  if (!condition) {
    failures++;
    printf("line %d: does not hold\n", line);
  }
}

/* -1 when there is no such file. */
static long load(const char *name) {
  char path[4096];
  long length;
  FILE *file;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  file = fopen(path, "rb");
  if (file == NULL) return -1;
  length = (long)fread(bytes, 1, FILE_MAX - 1, file);
  fclose(file);
  bytes[length] = 0;
  return length;
}

static void save(const char *name, const uint8_t *data, size_t length) {
  char path[4096];
  FILE *file;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  file = fopen(path, "wb");
  if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0) exit(2);
}

/* Memory of exactly the size that is asked for, so that the sanitizer sees each byte beyond. */
static obol_pos *memory(void) { return (obol_pos *)malloc(obol_pos_size()); }

static int32_t open_into(obol_pos *pos) {
  return obol_pos_open(pos, obol_pos_size(), folder, strlen(folder), NULL, reason, sizeof reason);
}

static obol_pos *opened(void) {
  obol_pos *pos = memory();
  CHECK(open_into(pos), OBOL_POS_OK);
  holds(reason[0] == 0, __LINE__);
  return pos;
}

static int32_t scan(obol_pos *pos, const char *name, uint32_t at, obol_pos_decision *decision) {
  long length = load(name);
  memset(decision, 0xa5, sizeof *decision);
  decision->struct_size = sizeof *decision;
  return obol_pos_scan(pos, (const char *)bytes, (size_t)length, at, decision);
}

static void make_journal(void) {
  const uint8_t epoch[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  CHECK(obol_pos_make_journal(folder, strlen(folder), epoch, reason, sizeof reason), OBOL_POS_OK);
}

static void mistakes(void) {
  obol_pos *pos = memory();
  char *crooked = (char *)malloc(obol_pos_size() + 16);
  obol_pos_decision decision;
  obol_pos_status status;
  obol_pos_signer signer;
  uint32_t count;
  uint64_t seq;
  int64_t off;
  size_t length;
  memset(pos, 0, obol_pos_size());
  memset(&signer, 0, sizeof signer);
  memset(&status, 0, sizeof status);
  decision.struct_size = sizeof decision;
  CHECK(obol_pos_make_journal(folder, strlen(folder), NULL, NULL, 0), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_make_journal(NULL, 3, NULL, NULL, 0), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_make_journal("", 0, NULL, NULL, 0), OBOL_POS_ERROR_PATH);
  CHECK(obol_pos_make_journal("\xff", 1, NULL, NULL, 0), OBOL_POS_ERROR_PATH);
  CHECK(open_into(pos), OBOL_POS_ERROR_JOURNAL);
  holds(strstr(reason, "there is no journal at ") == reason, __LINE__);
  make_journal();
  make_journal();
  CHECK(open_into(NULL), OBOL_POS_ERROR_NULL);
  CHECK(open_into((obol_pos *)(void *)(crooked + 8)), OBOL_POS_ERROR_ALIGNMENT);
  CHECK(obol_pos_open(pos, obol_pos_size() - 1, folder, strlen(folder), NULL, NULL, 0),
        OBOL_POS_ERROR_MEMORY);
  CHECK(obol_pos_open(pos, obol_pos_size(), folder, strlen(folder), &signer, NULL, 0),
        OBOL_POS_ERROR_STRUCT_SIZE);
  CHECK(obol_pos_open(pos, obol_pos_size(), "/nowhere", 8, NULL, reason, 12),
        OBOL_POS_ERROR_FOLDER);
  holds(strcmp(reason, "cannot read") == 0, __LINE__);
  CHECK(obol_pos_scan(NULL, "PT1:", 4, now, &decision), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_scan(pos, "PT1:", 4, now, &decision), OBOL_POS_ERROR_NOT_OPEN);
  CHECK(obol_pos_close(pos), OBOL_POS_ERROR_NOT_OPEN);
  CHECK(open_into(pos), OBOL_POS_OK);
  CHECK(open_into((obol_pos *)(void *)crooked), OBOL_POS_ERROR_JOURNAL_IN_USE);
  CHECK(obol_pos_scan(pos, NULL, 4, now, &decision), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_scan(pos, NULL, 0, now, &decision), OBOL_POS_UNKNOWN_SCHEME);
  CHECK(obol_pos_scan(pos, "PT1:", 4, now, NULL), OBOL_POS_ERROR_NULL);
  decision.struct_size--;
  CHECK(obol_pos_scan(pos, "PT1:", 4, now, &decision), OBOL_POS_ERROR_STRUCT_SIZE);
  CHECK(obol_pos_get_status(pos, now, &status), OBOL_POS_ERROR_STRUCT_SIZE);
  CHECK(obol_pos_opened(pos, now), OBOL_POS_ERROR_NOT_GRANTED);
  CHECK(obol_pos_count(pos, 0, &count), OBOL_POS_ERROR_CODE);
  CHECK(obol_pos_count(pos, 100, &count), OBOL_POS_ERROR_CODE);
  CHECK(obol_pos_count(pos, 2, NULL), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_server_time(pos, now, now, NULL), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_server_time(pos, now, now + 31, &off), OBOL_POS_OK);
  holds(off == 31, __LINE__);
  CHECK(obol_pos_next_segment(pos, NULL, 0, NULL, &seq, NULL, 0), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_next_segment(pos, NULL, 0, &length, &seq, NULL, 0), OBOL_POS_OK);
  holds(length == 0 && seq == 0, __LINE__);
  CHECK(obol_pos_acknowledge(pos, 1, NULL, 0, &seq, reason, sizeof reason),
        OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED);
  CHECK(obol_pos_take_fares(pos, NULL, 0, reason, sizeof reason), OBOL_POS_ERROR_FARES_REFUSED);
  CHECK(obol_pos_wording(0, 0, NULL, 0, NULL, 0), OBOL_POS_ERROR_CODE);
  CHECK(obol_pos_wording(9, 2, NULL, 0, NULL, 0), OBOL_POS_ERROR_CODE);
  CHECK(obol_pos_wording(9, 1, reason, 5, NULL, 0), OBOL_POS_OK);
  holds(strlen(reason) == 3, __LINE__); /* one character of three bytes, and no half one */
  holds(obol_pos_file_write(NULL, bytes, 1) == 0, __LINE__);
  CHECK(obol_pos_close(pos), OBOL_POS_OK);
  CHECK(obol_pos_close(pos), OBOL_POS_ERROR_NOT_OPEN);
  free(pos);
  free(crooked);
}

static void health(obol_pos *pos, unsigned waiting) {
  char found[OBOL_POS_HEALTH_SIZE], expected[OBOL_POS_HEALTH_SIZE];
  CHECK(obol_pos_health(pos, now, "my terminal 4.2", 15, found, sizeof found, reason, sizeof reason),
        OBOL_POS_OK);
  snprintf(expected, sizeof expected,
           "{\"clock\":%lu,\"waiting\":%u,\"trust\":\"fresh\",\"software\":\"my terminal 4.2\"}",
           (unsigned long)now, waiting);
  holds(strcmp(found, expected) == 0 && reason[0] == 0, __LINE__);
  CHECK(obol_pos_health(pos, now, "my terminal 4.2", 15, found, strlen(expected), NULL, 0),
        OBOL_POS_ERROR_ROOM);
  CHECK(obol_pos_health(pos, now, "my terminal 4.2", 15, NULL, 0, NULL, 0), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_health(pos, now, NULL, 3, found, sizeof found, NULL, 0), OBOL_POS_ERROR_NULL);
  CHECK(obol_pos_health(pos, now, "", 0, found, sizeof found, NULL, 0), OBOL_POS_ERROR_SOFTWARE);
  CHECK(obol_pos_health(pos, now, "my\r\nheader: 1", 13, found, sizeof found, reason, sizeof reason),
        OBOL_POS_ERROR_SOFTWARE);
  holds(strstr(reason, "printable") != NULL, __LINE__);
}

static void rides(void) {
  obol_pos *pos = opened();
  obol_pos_decision decision;
  obol_pos_status status;
  uint32_t count;
  uint64_t seq;
  size_t length, short_length;
  static uint8_t segment[OBOL_POS_SEGMENT_MAX], again[OBOL_POS_SEGMENT_MAX];
  status.struct_size = sizeof status;
  CHECK(obol_pos_get_status(pos, now, &status), OBOL_POS_OK);
  holds(status.freshness == 0 && status.last_seq == 0 && status.prepared_keys == 1, __LINE__);
  CHECK(scan(pos, "code", now, &decision), OBOL_POS_OK);
  holds(decision.opening == 1 && decision.seq == 1 && decision.fare_minor == 200, __LINE__);
  holds(strcmp(decision.currency, "CNY") == 0 && decision.rule[0] == 0, __LINE__);
  /* The power fails before the gate opens. */
  CHECK(obol_pos_close(pos), OBOL_POS_OK);
  CHECK(open_into(pos), OBOL_POS_OK);
  CHECK(scan(pos, "code", now + 1, &decision), OBOL_POS_OK);
  holds(decision.opening == 2 && decision.seq == 1, __LINE__);
  CHECK(obol_pos_opened(pos, now + 1), OBOL_POS_OK);
  CHECK(obol_pos_opened(pos, now + 1), OBOL_POS_ERROR_NOT_GRANTED);
  CHECK(scan(pos, "code", now + 2, &decision), OBOL_POS_DUPLICATE);
  holds(decision.opening == 0 && decision.seq == 0 && decision.rule[0] != 0, __LINE__);
  CHECK(scan(pos, "second", now + 2, &decision), OBOL_POS_IGNORED);
  CHECK(scan(pos, "second", now + 9, &decision), OBOL_POS_PASSBACK);
  CHECK(scan(pos, "stale", now, &decision), OBOL_POS_CODE_STALE);
  CHECK(scan(pos, "foreign", now, &decision), OBOL_POS_UNKNOWN_KEY);
  CHECK(obol_pos_count(pos, OBOL_POS_CODE_STALE, &count), OBOL_POS_OK);
  holds(count == 1, __LINE__);

  load("foreign-bundle");
  CHECK(obol_pos_take_trust(pos, bytes, (size_t)load("foreign-bundle"), now, reason, sizeof reason),
        OBOL_POS_ERROR_TRUST_REFUSED);
  holds(strlen(reason) > 20, __LINE__);
  CHECK(obol_pos_take_trust(pos, bytes, (size_t)load("next-bundle"), now, reason, sizeof reason),
        OBOL_POS_OK);
  holds(reason[0] == 0, __LINE__);
  CHECK(obol_pos_take_fares(pos, bytes, (size_t)load("next-fares"), NULL, 0), OBOL_POS_OK);
  CHECK(obol_pos_take_fares(pos, bytes, 5, NULL, 0), OBOL_POS_ERROR_FARES_REFUSED);
  CHECK(scan(pos, "third", now, &decision), OBOL_POS_OK);
  holds(decision.fare_minor == 300 && decision.seq == 2, __LINE__);
  /* A refused code takes the place of a ride that nobody opened the gate for. */
  CHECK(scan(pos, "stale", now, &decision), OBOL_POS_CODE_STALE);
  CHECK(obol_pos_opened(pos, now), OBOL_POS_ERROR_NOT_GRANTED);
  CHECK(scan(pos, "third", now, &decision), OBOL_POS_OK);
  holds(decision.opening == 2, __LINE__);
  CHECK(obol_pos_opened(pos, now), OBOL_POS_OK);
  CHECK(scan(pos, "second", now + 301, &decision), OBOL_POS_CODE_STALE);
  /* What was stored is there after a restart. */
  CHECK(obol_pos_close(pos), OBOL_POS_OK);
  CHECK(open_into(pos), OBOL_POS_OK);
  CHECK(obol_pos_reload(pos, now, reason, sizeof reason), OBOL_POS_OK);
  CHECK(scan(pos, "fourth", now, &decision), OBOL_POS_OK);
  holds(decision.fare_minor == 300 && decision.seq == 3, __LINE__);
  CHECK(obol_pos_opened(pos, now), OBOL_POS_OK);
  CHECK(obol_pos_get_status(pos, now + 86400, &status), OBOL_POS_OK);
  holds(status.freshness == 1 && status.last_seq == 3 && status.watermark == 0, __LINE__);
  holds(status.clock_floor == now, __LINE__);

  CHECK(obol_pos_next_segment(pos, segment, 5, &short_length, &seq, NULL, 0), OBOL_POS_ERROR_ROOM);
  CHECK(obol_pos_next_segment(pos, segment, sizeof segment, &length, &seq, reason, sizeof reason),
        OBOL_POS_OK);
  holds(length == short_length && seq == 1, __LINE__);
  CHECK(obol_pos_next_segment(pos, again, length, &short_length, &seq, NULL, 0), OBOL_POS_OK);
  holds(length == short_length && memcmp(segment, again, length) == 0, __LINE__);
  save("segment", segment, length);
  CHECK(obol_pos_fault(pos, reason, sizeof reason), OBOL_POS_OK);
  holds(reason[0] == 0, __LINE__);
  health(pos, 3);
  CHECK(obol_pos_close(pos), OBOL_POS_OK);
  free(pos);
}

static void upload(void) {
  obol_pos *pos = opened();
  uint64_t seq, watermark;
  size_t length;
  CHECK(obol_pos_acknowledge(pos, 1, bytes, (size_t)load("now"), &watermark, NULL, 0),
        OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED);
  CHECK(obol_pos_acknowledge(pos, 1, bytes, (size_t)load("answer"), &watermark, NULL, 0),
        OBOL_POS_OK);
  holds(watermark == 3, __LINE__);
  CHECK(obol_pos_acknowledge(pos, 1, bytes, (size_t)load("answer"), &watermark, NULL, 0),
        OBOL_POS_OK);
  holds(watermark == 3, __LINE__);
  health(pos, 0);
  CHECK(obol_pos_next_segment(pos, NULL, 0, &length, &seq, NULL, 0), OBOL_POS_OK);
  holds(length == 0, __LINE__);
  CHECK(obol_pos_close(pos), OBOL_POS_OK);
  free(pos);
}

/* A repository in a folder; a bad link breaks off every file after some bytes. */
struct link {
  const char *repository;
  long bytes_at_a_time;
  int is_down;
  int fetched;
};

static int32_t fetch(void *host, uint32_t shelf, const char *name, size_t offset,
                     obol_pos_file *file) {
  struct link *link = (struct link *)host;
  char path[512];
  long length, end;
  if (link->is_down) return -7;
  link->fetched++;
  snprintf(path, sizeof path, "%s/%s/%s", link->repository, shelf ? "targets" : "metadata", name);
  length = load(path);
  if (length < 0) return 1;
  if (offset > (size_t)length) offset = (size_t)length;
  end = link->bytes_at_a_time ? (long)offset + link->bytes_at_a_time : length;
  if (end > length) end = length;
  obol_pos_file_write(file, bytes + offset, (size_t)(end - (long)offset));
  return end < length ? 2 : 0;
}

static int32_t update(struct link *link) {
  obol_pos_source source;
  source.struct_size = sizeof source;
  source.host = link;
  source.fetch = fetch;
  return obol_pos_update(folder, strlen(folder), &source, now, reason, sizeof reason);
}

static void repository(void) {
  struct link link = {"good", 0, 1, 0};
  obol_pos_source none;
  obol_pos_decision decision;
  obol_pos *pos = memory();
  int attempts = 0;
  int32_t code;
  memset(&none, 0, sizeof none);
  make_journal();
  CHECK(obol_pos_update(folder, strlen(folder), &none, now, NULL, 0), OBOL_POS_ERROR_STRUCT_SIZE);
  none.struct_size = sizeof none;
  CHECK(obol_pos_update(folder, strlen(folder), &none, now, NULL, 0), OBOL_POS_ERROR_SOURCE);
  CHECK(update(&link), OBOL_POS_ERROR_SOURCE);
  holds(strstr(reason, "returned -7") != NULL, __LINE__);
  CHECK(open_into(pos), OBOL_POS_ERROR_TRUST_MISSING);
  link.is_down = 0;
  CHECK(update(&link), OBOL_POS_OK);
  CHECK(open_into(pos), OBOL_POS_OK);
  CHECK(scan(pos, "code", now, &decision), OBOL_POS_OK);
  CHECK(obol_pos_opened(pos, now), OBOL_POS_OK);
  CHECK(obol_pos_take_trust(pos, bytes, 5, now, reason, sizeof reason),
        OBOL_POS_ERROR_TRUST_REFUSED);

  /* While the update is not whole, the terminal goes on with what it has. */
  link.repository = "suspending";
  link.bytes_at_a_time = 300;
  do {
    code = update(&link);
    attempts++;
  } while (code == OBOL_POS_ERROR_SOURCE && attempts < 3);
  CHECK(code, OBOL_POS_ERROR_SOURCE);
  CHECK(obol_pos_reload(pos, now, reason, sizeof reason), OBOL_POS_OK);
  CHECK(scan(pos, "third", now, &decision), OBOL_POS_OK);
  link.bytes_at_a_time = 0;
  CHECK(update(&link), OBOL_POS_OK);
  CHECK(scan(pos, "second", now + 9, &decision), OBOL_POS_PASSBACK);
  CHECK(obol_pos_reload(pos, now, reason, sizeof reason), OBOL_POS_OK);
  CHECK(scan(pos, "second", now + 9, &decision), OBOL_POS_KEY_SUSPENDED);
  CHECK(obol_pos_close(pos), OBOL_POS_OK);
  free(pos);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  folder = argv[2];
  if (load("now") < 0) return 2;
  now = (uint32_t)strtoul((const char *)bytes, NULL, 10);
  holds(obol_pos_abi_version() == 2, __LINE__);
  holds(strcmp(obol_pos_code_name(9), "CODE_STALE") == 0, __LINE__);
  if (strcmp(argv[1], "mistakes") == 0) mistakes();
  if (strcmp(argv[1], "rides") == 0) rides();
  if (strcmp(argv[1], "upload") == 0) upload();
  if (strcmp(argv[1], "repository") == 0) repository();
  printf("%d failures\n", failures);
  return failures != 0;
}
