/* A terminal that takes boarding codes: decides, writes rides down, gives them to upload.
 * Generated from pos-sdk/ffi/src; a test compares. See docs/pos-guide.md. */

#ifndef OBOL_POS_H
#define OBOL_POS_H

#include <stddef.h>
#include <stdint.h>

/*
 A terminal's memory begins at a multiple of this.
 */
#define OBOL_POS_ALIGNMENT 16

/*
 Bytes of a text that is looked at; the longest boarding code has 483.
 */
#define OBOL_POS_TEXT_MAX 1024

/*
 Bytes of `rule`, the closing NUL among them.
 */
#define OBOL_POS_RULE_SIZE 96

/*
 Bytes that suffice for every segment.
 */
#define OBOL_POS_SEGMENT_MAX 1048576

/*
 Bytes that suffice for every health report, the closing NUL among them.
 */
#define OBOL_POS_HEALTH_SIZE 257

/*
 What a call came to. 0: done; of a scan: the ride is on disk, open the gate. 1 to 99: the
 boarding code is refused, and this is the reason, with the number it has in every journal. From
 100: neither. Below 0: the call itself could not be carried out. Numbers are never changed and
 never used again.
 */
enum obol_pos_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   Done; of a scan: the ride is on disk, open the gate.
   */
  OBOL_POS_OK = 0,
  /*
   Not base45, not deterministic CBOR, or not a PT1 presentation.
   */
  OBOL_POS_MALFORMED = 1,
  /*
   Another prefix than `PT1:`: some other system's code.
   */
  OBOL_POS_UNKNOWN_SCHEME = 2,
  /*
   No issuer key with this kid and algorithm.
   */
  OBOL_POS_UNKNOWN_KEY = 3,
  /*
   The issuer key is suspended.
   */
  OBOL_POS_KEY_SUSPENDED = 4,
  /*
   The issuer key or this terminal does not serve this operator, class or time.
   */
  OBOL_POS_OUT_OF_SCOPE = 5,
  /*
   The issuer's signature does not verify.
   */
  OBOL_POS_ISSUER_SIG = 6,
  /*
   The device key's signature does not verify.
   */
  OBOL_POS_DEVICE_SIG = 7,
  /*
   The credential has expired.
   */
  OBOL_POS_CRED_EXPIRED = 8,
  /*
   The boarding code is past its window.
   */
  OBOL_POS_CODE_STALE = 9,
  /*
   The boarding code or the credential is from the future.
   */
  OBOL_POS_CODE_FUTURE = 10,
  /*
   A status list denies the credential.
   */
  OBOL_POS_DENIED = 11,
  /*
   No status list covers the credential.
   */
  OBOL_POS_STATUS_MISSING = 12,
  /*
   This boarding code was taken before.
   */
  OBOL_POS_DUPLICATE = 13,
  /*
   The credential was used here within the passback interval.
   */
  OBOL_POS_PASSBACK = 14,
  /*
   The credential has paid for too many rides here.
   */
  OBOL_POS_VELOCITY = 15,
  /*
   The fare is above the credential's cap, or above the terminal's while trust is stale.
   */
  OBOL_POS_CAP = 16,
  /*
   No fare for this class now.
   */
  OBOL_POS_FARE_UNKNOWN = 17,
  /*
   The clock is behind a time that is certain.
   */
  OBOL_POS_CLOCK_FAULT = 18,
  /*
   The terminal's trust is out of date for longer than it may be.
   */
  OBOL_POS_BUNDLE_EXPIRED = 19,
  /*
   The journal failed: obol_pos_fault() says how.
   */
  OBOL_POS_STORAGE_FAULT = 20,
  /*
   The credential was used less than three seconds ago: keep the gate as it is, say nothing.
   */
  OBOL_POS_IGNORED = 100,
  /*
   A pointer that must not be NULL is.
   */
  OBOL_POS_ERROR_NULL = -1,
  /*
   The memory does not begin at a multiple of OBOL_POS_ALIGNMENT.
   */
  OBOL_POS_ERROR_ALIGNMENT = -2,
  /*
   The memory is smaller than obol_pos_size() says, or a length is impossible.
   */
  OBOL_POS_ERROR_MEMORY = -3,
  /*
   The memory holds no open terminal.
   */
  OBOL_POS_ERROR_NOT_OPEN = -4,
  /*
   `struct_size` of a structure is not one that this library knows.
   */
  OBOL_POS_ERROR_STRUCT_SIZE = -5,
  /*
   A path is not UTF-8 or is empty.
   */
  OBOL_POS_ERROR_PATH = -6,
  /*
   A file of the folder is missing or unusable: the reason says which.
   */
  OBOL_POS_ERROR_FOLDER = -7,
  /*
   The journal is missing, damaged, foreign, or its disk fails: the reason says which.
   */
  OBOL_POS_ERROR_JOURNAL = -8,
  /*
   Another process takes rides with this journal.
   */
  OBOL_POS_ERROR_JOURNAL_IN_USE = -9,
  /*
   The terminal has no trust bundle yet.
   */
  OBOL_POS_ERROR_TRUST_MISSING = -10,
  /*
   The trust bundle or the repository is not believed. What was in use stays.
   */
  OBOL_POS_ERROR_TRUST_REFUSED = -11,
  /*
   The fare pack is malformed. What was in use stays.
   */
  OBOL_POS_ERROR_FARES_REFUSED = -12,
  /*
   No granted ride waits for its gate.
   */
  OBOL_POS_ERROR_NOT_GRANTED = -13,
  /*
   The terminal's key is missing, unusable or did not sign. Nothing is lost.
   */
  OBOL_POS_ERROR_KEY = -14,
  /*
   The acknowledgement is not about this journal. Nothing is lost.
   */
  OBOL_POS_ERROR_ACKNOWLEDGEMENT_REFUSED = -15,
  /*
   The buffer is too small; the length says how much is needed.
   */
  OBOL_POS_ERROR_ROOM = -16,
  /*
   The repository did not answer, or broke off. What came so far is kept.
   */
  OBOL_POS_ERROR_SOURCE = -17,
  /*
   The number is no code with words.
   */
  OBOL_POS_ERROR_CODE = -18,
  /*
   A bug of this library: report it. Close the terminal and open it again.
   */
  OBOL_POS_ERROR_PANIC = -19,
  /*
   An earlier call ended in a bug, or another call is still running.
   */
  OBOL_POS_ERROR_UNUSABLE = -20,
  /*
   The software's name is not 1 to 32 printable characters of ASCII.
   */
  OBOL_POS_ERROR_SOFTWARE = -21,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum obol_pos_code obol_pos_code;
#else
typedef int32_t obol_pos_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 A terminal in memory of the caller's.
 */
typedef struct obol_pos obol_pos;

/*
 A file that is being fetched.
 */
typedef struct obol_pos_file obol_pos_file;

/*
 The terminal's key in a secure element or a token of the host's, in the place of the key file.
 */
typedef struct obol_pos_signer {
  /*
   In: sizeof(obol_pos_signer).
   */
  uint32_t struct_size;
  /*
   SHA-256 of the key's DER SubjectPublicKeyInfo: the key of the terminal's TLS certificate.
   */
  uint8_t key_id[32];
  /*
   Given to `sign` as it is.
   */
  void *host;
  /*
   Signs `input` with ECDSA on P-256 over SHA-256 and writes r and s, 32 bytes each, into the
   64 bytes at `signature`. Returns 0, or anything else when the key cannot sign now.
   */
  int32_t (*sign)(void *host, const uint8_t *input, size_t input_len, uint8_t *signature);
} obol_pos_signer;

/*
 What a scan led to. Where the gate is not to be opened, `rule` alone is meaningful and the rest
 is zero.
 */
typedef struct obol_pos_decision {
  /*
   In: sizeof(obol_pos_decision), by which the library knows the caller's version of it.
   */
  uint32_t struct_size;
  /*
   1: a new ride. 2: a ride that was on disk before and whose gate is not known to have opened;
   nothing was written again. 0: the gate is not to be opened.
   */
  uint32_t opening;
  /*
   The ride's number in the journal.
   */
  uint64_t seq;
  /*
   When it was taken, seconds since 1970.
   */
  uint32_t accepted_at;
  /*
   What it costs, minor units.
   */
  uint32_t fare_minor;
  /*
   The fare pack's rule that says so.
   */
  uint32_t fare_rule;
  /*
   Bit 0: the terminal's trust was stale. Bit 1: a companion's ride.
   */
  uint32_t flags;
  /*
   The currency, three capital letters and a NUL; empty while no fare pack is loaded.
   */
  char currency[4];
  /*
   The rule that is broken, in words; empty when the gate is to be opened.
   */
  char rule[OBOL_POS_RULE_SIZE];
} obol_pos_decision;

/*
 How a terminal stands.
 */
typedef struct obol_pos_status {
  /*
   In: sizeof(obol_pos_status).
   */
  uint32_t struct_size;
  /*
   0: trust is fresh. 1: degraded, a lower cap holds. 2: expired, nothing is taken.
   */
  uint32_t freshness;
  /*
   The last ride in the journal; 0 for none.
   */
  uint64_t last_seq;
  /*
   The last ride that the platform holds; 0 for none.
   */
  uint64_t watermark;
  /*
   The time before which it cannot be, seconds since 1970.
   */
  uint32_t clock_floor;
  /*
   Issuer keys with a table.
   */
  uint32_t prepared_keys;
} obol_pos_status;

/*
 The way to the trust repository. What comes from there need not be trusted.
 */
typedef struct obol_pos_source {
  /*
   In: sizeof(obol_pos_source).
   */
  uint32_t struct_size;
  /*
   Given to `fetch` as it is.
   */
  void *host;
  /*
   Fetches a file of the folder `metadata` (`shelf` 0) or `targets` (`shelf` 1), from byte
   `offset` on, and hands what comes to obol_pos_file_write() until that returns 0, which says
   that no more is wanted. `name` is closed by a NUL. Returns 0 when the file is whole, 1 when
   there is no such file, 2 when it broke off, anything else when nothing came.
   */
  int32_t (*fetch)(void *host,
                   uint32_t shelf,
                   const char *name,
                   size_t offset,
                   struct obol_pos_file *file);
} obol_pos_source;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of this interface. It grows when something is added; a program runs with a library
 of the same version or a later one.
 */
uint32_t obol_pos_abi_version(void);

/*
 The name of a code, as it stands in every log ("CODE_STALE"); "UNKNOWN" for another number.
 The text is closed by a NUL and lasts for ever.
 */
const char *obol_pos_code_name(int32_t code);

/*
 What a refusal means and what to do, one sentence each, for the display: `language` 0 is
 English, 1 simplified Chinese. Both are cut to their room (UTF-8) and closed by a NUL.

 # Safety
 `what` and `todo` are NULL or valid for writes of their sizes.
 */
int32_t obol_pos_wording(int32_t code,
                         uint32_t language,
                         char *what,
                         size_t what_size,
                         char *todo,
                         size_t todo_size);

/*
 Makes the journal of the terminal that `terminal.toml` in the folder names; one that is there
 stays. `epoch` is 8 random bytes. Once, when the terminal is set up.

 # Safety
 `epoch` is NULL or valid for reads of 8 bytes, the others for their lengths.
 */
int32_t obol_pos_make_journal(const char *folder,
                              size_t folder_len,
                              const uint8_t *epoch,
                              char *reason,
                              size_t reason_size);

/*
 How many bytes a terminal takes.
 */
size_t obol_pos_size(void);

/*
 Opens the terminal of a folder in `size` bytes at `pos`, which begin at a multiple of
 OBOL_POS_ALIGNMENT and hold no open terminal. The memory stays the caller's: it must not move
 until obol_pos_close(). One thread at a time uses a terminal, one process at a time a journal.
 `signer` is NULL for the key file that `terminal.toml` names, or the key in a token of yours.
 Where the terminal does not open, `reason` (NULL, or `reason_size` bytes) says why, closed by a
 NUL; the same holds wherever a reason is asked for.

 # Safety
 The pointers are NULL or valid for their lengths.
 */
int32_t obol_pos_open(struct obol_pos *pos,
                      size_t size,
                      const char *folder,
                      size_t folder_len,
                      const struct obol_pos_signer *signer,
                      char *reason,
                      size_t reason_size);

/*
 Closes a terminal and gives back all that it took from the heap. Its memory is the caller's
 again.

 # Safety
 `pos` is NULL or valid for reads of obol_pos_size() bytes.
 */
int32_t obol_pos_close(struct obol_pos *pos);

/*
 Decides on what the scanner read, at `now`, seconds since 1970; one line end at its end is taken
 off. 0: the ride is on disk; open the gate, then call obol_pos_opened(). Anything else: keep it
 closed.

 # Safety
 `text` is NULL or valid for reads of `text_len`; `decision` is NULL or points to a structure of
 the size that it says.
 */
int32_t obol_pos_scan(struct obol_pos *pos,
                      const char *text,
                      size_t text_len,
                      uint32_t now,
                      struct obol_pos_decision *decision);

/*
 Notes that the gate is open for the ride of the last scan. A ride of which nothing is noted
 opens the gate again for the same code, within its window, and is not charged again.

 # Safety
 `pos` is NULL or valid for reads of obol_pos_size() bytes.
 */
int32_t obol_pos_opened(struct obol_pos *pos, uint32_t now);

/*
 Says what lay behind the last OBOL_POS_STORAGE_FAULT, or behind a note that could not be made,
 and forgets it. The reason is empty when there was none.

 # Safety
 `reason` is NULL or valid for writes of `reason_size` bytes.
 */
int32_t obol_pos_fault(struct obol_pos *pos, char *reason, size_t reason_size);

/*
 How often a refusal was the answer since the terminal was opened.

 # Safety
 `count` is NULL or valid for writes.
 */
int32_t obol_pos_count(struct obol_pos *pos, int32_t code, uint32_t *count);

/*
 How the terminal stands.

 # Safety
 `status` is NULL or points to a structure of the size that it says.
 */
int32_t obol_pos_get_status(struct obol_pos *pos, uint32_t now, struct obol_pos_status *status);

/*
 Takes note of the time that a server told over an authenticated connection. When it agrees with
 the clock, the clock's floor starts from here: the way out of OBOL_POS_CLOCK_FAULT. `off_s` is
 the clock minus the server, seconds; 0 when they agree within 30 s.

 # Safety
 `off_s` is NULL or valid for writes.
 */
int32_t obol_pos_server_time(struct obol_pos *pos,
                             uint32_t server_time,
                             uint32_t now,
                             int64_t *off_s);

/*
 Believes a trust bundle that the pinned root vouches for, and keeps it in the folder: for a
 terminal without a trust repository. What was in use stays when it is refused.

 # Safety
 The pointers are NULL or valid for their lengths.
 */
int32_t obol_pos_take_trust(struct obol_pos *pos,
                            const uint8_t *bundle,
                            size_t bundle_len,
                            uint32_t now,
                            char *reason,
                            size_t reason_size);

/*
 Charges by a fare pack from now on, and keeps it in the folder.

 # Safety
 The pointers are NULL or valid for their lengths.
 */
int32_t obol_pos_take_fares(struct obol_pos *pos,
                            const uint8_t *pack,
                            size_t pack_len,
                            char *reason,
                            size_t reason_size);

/*
 Updates the folder's trust from its repository: keys, status lists, suspensions and fares, all
 or nothing. It uses no open terminal, so that another thread may run it while rides are taken;
 obol_pos_reload() then takes what came. What came before it failed is kept for the next time.

 # Safety
 The pointers are NULL or valid for their lengths.
 */
int32_t obol_pos_update(const char *folder,
                        size_t folder_len,
                        const struct obol_pos_source *source,
                        uint32_t now,
                        char *reason,
                        size_t reason_size);

/*
 Hands over bytes of the file that is being fetched. Returns 1 while more is wanted, 0 when not.

 # Safety
 `file` is what the running fetch was given; `data` is NULL or valid for reads of `len` bytes.
 */
int32_t obol_pos_file_write(struct obol_pos_file *file, const uint8_t *data, size_t len);

/*
 Takes what the folder holds by now: what obol_pos_update() or another process has brought. What
 cannot be used changes nothing.

 # Safety
 `reason` is NULL or valid for writes of `reason_size` bytes.
 */
int32_t obol_pos_reload(struct obol_pos *pos, uint32_t now, char *reason, size_t reason_size);

/*
 The next segment to post to the platform (`POST /v1/segments`, `application/cbor`, mutual TLS
 with the terminal's certificate), into `size` bytes at `segment`; OBOL_POS_SEGMENT_MAX always
 suffices. `segment_len` 0: the platform holds everything. A segment that was not acknowledged is
 given again byte for byte; posting it twice changes nothing.

 # Safety
 The pointers are NULL or valid for writes, `segment` of `size` bytes.
 */
int32_t obol_pos_next_segment(struct obol_pos *pos,
                              uint8_t *segment,
                              size_t size,
                              size_t *segment_len,
                              uint64_t *first_seq,
                              char *reason,
                              size_t reason_size);

/*
 How the terminal stands, as the platform wants to hear it: the value of the header
 `obol-terminal-health` of the request that posts a segment (docs/spec/tap.md section 6), closed
 by a NUL; OBOL_POS_HEALTH_SIZE bytes always suffice. `software` says what the terminal runs: 1
 to 32 printable characters of ASCII. The header proves nothing and decides nothing; people look
 after a terminal by it.

 # Safety
 The pointers are NULL or valid for their lengths.
 */
int32_t obol_pos_health(struct obol_pos *pos,
                        uint32_t now,
                        const char *software,
                        size_t software_len,
                        char *health,
                        size_t health_size,
                        char *reason,
                        size_t reason_size);

/*
 Takes the platform's answer (the body of 200, JSON) to the segment that began with `first_seq`,
 and moves the watermark, durably, as far as the answer fits the journal.

 # Safety
 The pointers are NULL or valid for their lengths; `watermark` is NULL or valid for writes.
 */
int32_t obol_pos_acknowledge(struct obol_pos *pos,
                             uint64_t first_seq,
                             const uint8_t *answer,
                             size_t answer_len,
                             uint64_t *watermark,
                             char *reason,
                             size_t reason_size);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OBOL_POS_H */
