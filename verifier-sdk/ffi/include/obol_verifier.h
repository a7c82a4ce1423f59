/* The verifier of PT1 boarding codes: decides offline whether a code is good, here and now.
 * Generated from verifier-sdk/ffi/src; a test compares. See docs/pos-guide.md. */

#ifndef OBOL_VERIFIER_H
#define OBOL_VERIFIER_H

#include <stddef.h>
#include <stdint.h>

/*
 A verifier's memory begins at a multiple of this.
 */
#define OBOL_VERIFIER_ALIGNMENT 16

/*
 Bytes of the longest presentation.
 */
#define OBOL_PRESENTATION_MAX 319

/*
 Bytes of `rule`, the closing NUL among them.
 */
#define OBOL_RULE_SIZE 64

/*
 What a call came to. 0: done, or the boarding code is good. Above 0: the boarding code is
 refused, and this is the reason, with the number it has in every journal. Below 0: the call
 itself could not be carried out. Numbers are never changed and never used again.
 */
enum obol_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   Done; or the boarding code is good.
   */
  OBOL_OK = 0,
  /*
   Not base45, not deterministic CBOR, or not a PT1 presentation.
   */
  OBOL_MALFORMED = 1,
  /*
   Another prefix than `PT1:`: some other system's code.
   */
  OBOL_UNKNOWN_SCHEME = 2,
  /*
   No issuer key with this kid and algorithm.
   */
  OBOL_UNKNOWN_KEY = 3,
  /*
   The issuer key is suspended.
   */
  OBOL_KEY_SUSPENDED = 4,
  /*
   The issuer key does not serve this operator, class or time.
   */
  OBOL_OUT_OF_SCOPE = 5,
  /*
   The issuer's signature does not verify.
   */
  OBOL_ISSUER_SIG = 6,
  /*
   The device key's signature does not verify.
   */
  OBOL_DEVICE_SIG = 7,
  /*
   The credential has expired.
   */
  OBOL_CRED_EXPIRED = 8,
  /*
   The boarding code is past its window.
   */
  OBOL_CODE_STALE = 9,
  /*
   The boarding code or the credential is from the future.
   */
  OBOL_CODE_FUTURE = 10,
  /*
   A status list denies the credential.
   */
  OBOL_DENIED = 11,
  /*
   No status list covers the credential.
   */
  OBOL_STATUS_MISSING = 12,
  /*
   The trust bundle is out of date for longer than the host allows.
   */
  OBOL_BUNDLE_EXPIRED = 19,
  /*
   A pointer that must not be NULL is.
   */
  OBOL_ERROR_NULL = -1,
  /*
   The memory does not begin at a multiple of OBOL_VERIFIER_ALIGNMENT.
   */
  OBOL_ERROR_ALIGNMENT = -2,
  /*
   The memory is smaller than obol_verifier_size() says.
   */
  OBOL_ERROR_MEMORY = -3,
  /*
   A limit is out of its range.
   */
  OBOL_ERROR_LIMITS = -4,
  /*
   The memory was not given to obol_verifier_init().
   */
  OBOL_ERROR_NOT_INITIALISED = -5,
  /*
   An operator's name is not 1 to 32 characters of a-z 0-9 -.
   */
  OBOL_ERROR_OPERATOR = -6,
  /*
   The algorithm is unknown or the bytes are not a point of its curve.
   */
  OBOL_ERROR_KEY = -7,
  /*
   More issuer keys than the limits have room for. Nothing was changed.
   */
  OBOL_ERROR_KEYS_FULL = -8,
  /*
   The pinned root certificate is not one. Nothing was changed.
   */
  OBOL_ERROR_ROOT_REFUSED = -9,
  /*
   The trust bundle is refused. Nothing was changed.
   */
  OBOL_ERROR_BUNDLE_REFUSED = -10,
  /*
   The status list is refused. Nothing was changed.
   */
  OBOL_ERROR_STATUS_LIST_REFUSED = -11,
  /*
   More status lists than the limits have room for. Nothing was changed.
   */
  OBOL_ERROR_STATUS_LISTS_FULL = -12,
  /*
   `struct_size` of a structure is not one that this library knows.
   */
  OBOL_ERROR_STRUCT_SIZE = -13,
  /*
   A bug of this library: report it. Initialise the verifier again before using it.
   */
  OBOL_ERROR_PANIC = -14,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum obol_code obol_code;
#else
typedef int32_t obol_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 A verifier in memory of the caller's.
 */
typedef struct obol_verifier obol_verifier;

/*
 What a verifier has room for. All of it is fixed when the verifier is initialised.
 */
typedef struct obol_limits {
  /*
   In: sizeof(obol_limits).
   */
  uint32_t struct_size;
  /*
   Issuer keys, 1 to 64.
   */
  uint32_t keys;
  /*
   How fast the issuer's signature is checked for how much memory: 0 (no tables), or 4, 8, 16
   or 32 chunks, which take 26, 52, 104 or 208 KiB for each key and as much once more.
   */
  uint32_t table_chunks;
  /*
   Credentials that are remembered, 0 to 1048576; each takes 32 bytes.
   */
  uint32_t cached_credentials;
  /*
   Status lists, 0 to 256. With 0 the host asks its own; with more, a credential that no list
   covers is refused.
   */
  uint32_t status_lists;
  /*
   How long codes are still taken after the trust bundle has expired, seconds, 0 to 259200.
   */
  uint32_t stale_grace_s;
} obol_limits;

/*
 An issuer key that the host vouches for.
 */
typedef struct obol_key {
  /*
   In: sizeof(obol_key).
   */
  uint32_t struct_size;
  /*
   COSE algorithm: -51 (ESP384) or -9 (ESP256).
   */
  int32_t algorithm;
  /*
   The public key as a SEC1 point, compressed or not.
   */
  const uint8_t *point;
  /*
   Bytes of `point`.
   */
  size_t point_len;
  /*
   The first second at which it is good, seconds since 1970.
   */
  uint32_t not_before;
  /*
   The last second at which it is good.
   */
  uint32_t not_after;
  /*
   The operator it may issue for: 1 to 32 characters of a-z 0-9 -, not closed by a NUL.
   */
  const char *operator_name;
  /*
   Bytes of `operator_name`.
   */
  size_t operator_len;
  /*
   The rider classes it may issue, one bit each.
   */
  uint32_t classes;
  /*
   1 when this very key is suspended, otherwise 0.
   */
  uint32_t suspended;
} obol_key;

/*
 What a scan found. Where the boarding code was refused, `rule` alone is meaningful and the rest
 is zero.
 */
typedef struct obol_result {
  /*
   In: sizeof(obol_result), by which the library knows the caller's version of it.
   */
  uint32_t struct_size;
  /*
   1 when the trust bundle has expired and the host's grace still lasts, otherwise 0.
   */
  uint32_t trust_is_stale;
  /*
   The rule that is broken, in words; empty when the boarding code is good.
   */
  char rule[OBOL_RULE_SIZE];
  /*
   The issuer key.
   */
  uint8_t kid[4];
  /*
   The credential.
   */
  uint8_t cti[8];
  /*
   The boarding code's nonce. (kid, cti, code_issued_at, nonce) tells it from every other.
   */
  uint8_t nonce[4];
  /*
   When the phone made the boarding code, seconds since 1970.
   */
  uint32_t code_issued_at;
  /*
   The credential's use counter.
   */
  uint32_t counter;
  /*
   When the credential was issued, seconds since 1970.
   */
  uint32_t credential_issued_at;
  /*
   The first second at which the credential is no longer good.
   */
  uint32_t credential_expires_at;
  /*
   The rider class, 0 to 31.
   */
  uint32_t rider_class;
  /*
   The dearest single fare the credential stands for, minor units.
   */
  uint32_t cap_minor;
  /*
   How long a boarding code is good, seconds, as the issuer set it.
   */
  uint32_t window_s;
  /*
   The credential's place in the status list of its key and day.
   */
  uint32_t status_index;
  /*
   The issuer's flags.
   */
  uint32_t flags;
  /*
   Bytes of `presentation`.
   */
  uint32_t presentation_len;
  /*
   What was verified, for the journal: the platform verifies it again.
   */
  uint8_t presentation[OBOL_PRESENTATION_MAX];
} obol_result;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of this interface. It grows when something is added; a program runs with a library
 of the same version or a later one.
 */
uint32_t obol_verifier_abi_version(void);

/*
 The name of a code, as it stands in every log ("CODE_STALE"); "UNKNOWN" for another number.
 The text is closed by a NUL and lasts for ever.
 */
const char *obol_code_name(int32_t code);

/*
 How many bytes a verifier with these limits takes; 0 when a limit is out of its range.

 # Safety
 `limits` is NULL or points to a structure of the size that it says.
 */
size_t obol_verifier_size(const struct obol_limits *limits);

/*
 Makes a verifier in `size` bytes at `verifier`, which begin at a multiple of
 OBOL_VERIFIER_ALIGNMENT. The memory stays the caller's: it must not move while the verifier is
 in use, and nothing has to be freed but itself. One thread at a time uses a verifier.

 # Safety
 `verifier` is NULL or valid for writes of `size` bytes; `operator_name` is NULL or valid for
 reads of `operator_len`.
 */
int32_t obol_verifier_init(struct obol_verifier *verifier,
                           size_t size,
                           const struct obol_limits *limits,
                           const char *operator_name,
                           size_t operator_len);

/*
 Believes the issuer keys of a trust bundle, and no others, when the pinned root certificate
 (PEM or DER) vouches for each. Where it does not, nothing changes, and `reason` (NULL, or
 `reason_size` bytes) says why, closed by a NUL. Takes heap memory while it runs and keeps none.

 # Safety
 The pointers are NULL or valid for their lengths.
 */
int32_t obol_verifier_load_bundle(struct obol_verifier *verifier,
                                  const uint8_t *root,
                                  size_t root_len,
                                  const uint8_t *bundle,
                                  size_t bundle_len,
                                  char *reason,
                                  size_t reason_size);

/*
 Believes an issuer key that the host vouches for, besides those it believes already.

 # Safety
 `key` is NULL or points to a structure of the size that it says, whose pointers are NULL or
 valid for their lengths.
 */
int32_t obol_verifier_add_key(struct obol_verifier *verifier, const struct obol_key *key);

/*
 Believes no issuer key.

 # Safety
 `verifier` is NULL or was initialised.
 */
int32_t obol_verifier_clear_keys(struct obol_verifier *verifier);

/*
 Suspends the issuer keys of these `count` kids (0 to 64, four bytes each) and no others. It
 holds for keys that are loaded later as well.

 # Safety
 `kids` is NULL or valid for reads of 4 * `count` bytes.
 */
int32_t obol_verifier_suspend(struct obol_verifier *verifier,
                              const uint8_t (*kids)[4],
                              size_t count);

/*
 Asks a status list (its bytes as published) for the credentials that `kid` issued on day
 `epoch` (seconds since 1970, divided by 86400), in the place of the one for the same day. Its
 bits go to `bits`, which must stay until the list is replaced in other memory or dropped. Takes
 heap memory while it runs and keeps none.

 # Safety
 The pointers are NULL or valid for their lengths; `kid` for four bytes.
 */
int32_t obol_verifier_put_status_list(struct obol_verifier *verifier,
                                      const uint8_t *kid,
                                      uint32_t epoch,
                                      const uint8_t *list,
                                      size_t list_len,
                                      uint8_t *bits,
                                      size_t bits_size);

/*
 Asks the status list of that key and day no more: the memory of its bits is the caller's again.

 # Safety
 `kid` is NULL or valid for four bytes.
 */
int32_t obol_verifier_drop_status_list(struct obol_verifier *verifier,
                                       const uint8_t *kid,
                                       uint32_t epoch);

/*
 Decides on the text of a boarding code at `now`, seconds since 1970. A scanner's line end must
 be gone. Allocates nothing. The host still has to refuse a code that it has taken before.

 # Safety
 `text` is NULL or valid for reads of `text_len`; `result` is NULL or points to a structure of
 the size that it says.
 */
int32_t obol_verifier_scan(struct obol_verifier *verifier,
                           const char *text,
                           size_t text_len,
                           uint32_t now,
                           struct obol_result *result);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* OBOL_VERIFIER_H */
