// Sanderling's C interface. Made by cbindgen from targets/capi; `UPDATE_HEADER=1 cargo test -p sanderling-capi` makes it anew.

#ifndef SANDERLING_H
#define SANDERLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
// Version of this interface: what is compiled against one works with every library of the same.
#define SANDERLING_ABI_VERSION 1

// How a call went.
typedef enum {
  // As asked.
  SANDERLING_STATUS_OK = 0,
  // An argument of the call: null, a length, text that is not UTF-8, a number out of range.
  SANDERLING_STATUS_ARGUMENT = 1,
  // The bundle: damaged, of another version, in need of what this library has not.
  SANDERLING_STATUS_BUNDLE = 2,
  // An input of the model: its name, type, shape or values.
  SANDERLING_STATUS_INPUT = 3,
  // The run itself.
  SANDERLING_STATUS_RUN = 4,
  // Another thread is using the handle.
  SANDERLING_STATUS_BUSY = 5,
  // A file that cannot be read.
  SANDERLING_STATUS_FILE = 6,
  // A fault of ours: please report it with the message.
  SANDERLING_STATUS_INTERNAL = 7,
} SanderlingStatus;

// What went wrong, in words.
typedef struct SanderlingError SanderlingError;

// A model, ready to run. For one thread at a time.
typedef struct SanderlingSession SanderlingSession;

// How a model runs; zero for a field's default.
typedef struct {
  // Threads to compute with, the calling one included; 0 is 1.
  size_t threads;
  // Most bytes of intermediates and packed weights; 0 is 4 GiB.
  uint64_t memory_limit;
} SanderlingOptions;

// An input or output of a model, as it declares it.
typedef struct {
  // ONNX name; lent until the session is freed.
  const char *name;
  // Element type by ONNX's number (`TensorProto.DataType`); 0 where the model does not say.
  int32_t dtype;
  // Number of dimensions.
  size_t rank;
  // Dimensions, outermost first, −1 for an open one; lent until the session is freed.
  const int64_t *shape;
} SanderlingPort;

// A tensor in memory: row-major, contiguous, little-endian.
typedef struct {
  // Name of the input or output.
  const char *name;
  // Element type by ONNX's number: 1 float, 2 uint8, 3 int8, 6 int32, 7 int64, …
  int32_t dtype;
  // Number of dimensions.
  size_t rank;
  // Dimensions, outermost first.
  const size_t *shape;
  // The elements.
  const void *data;
  // Their size.
  size_t bytes;
} SanderlingTensor;

// What a classifier answers.
typedef struct {
  // The label; lent until the session's next call or its end.
  const char *label;
  // Score of the best label, 0 to 1 for probabilities; 1 for an answer by rule.
  float confidence;
  // Whether a rule answered, without the model.
  bool rule;
  // Whether the score was below the label's threshold.
  bool below_threshold;
} SanderlingAnswer;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The words of an error; they live until it is freed. Null for null.
//
// # Safety
// `error` is null or an error that was not freed.
const char *sanderling_error_message(const SanderlingError *error);

// Frees an error; null is fine.
//
// # Safety
// `error` is null or an error that was not freed.
void sanderling_error_free(SanderlingError *error);

// Version of the interface that the library has: compare it with `SANDERLING_ABI_VERSION`.
uint32_t sanderling_abi_version(void);

// Version of the library, as in `0.1.0`; lives as long as the process.
const char *sanderling_version(void);

// The words of an error; they live until it is freed. Null for null.
//
// # Safety
// `error` is null or an error that was not freed.
const char *sanderling_error_message(const SanderlingError *error);

// Frees an error; null is fine.
//
// # Safety
// `error` is null or an error that was not freed.
void sanderling_error_free(SanderlingError *error);

// Opens a bundle that lies in memory; the bytes are copied.
//
// # Safety
// `bundle` is valid for reading `length` bytes; `options` is null or valid; `session` and `error` are null or valid
// for writing a pointer.
SanderlingStatus sanderling_session_open(const uint8_t *bundle,
                                         size_t length,
                                         const SanderlingOptions *options,
                                         SanderlingSession **session,
                                         SanderlingError **error);

// Opens a bundle from a file.
//
// # Safety
// `path` is null or a string that ends in zero; the rest as for `sanderling_session_open`.
SanderlingStatus sanderling_session_open_file(const char *path,
                                              const SanderlingOptions *options,
                                              SanderlingSession **session,
                                              SanderlingError **error);

// Frees a session and what it lent; null is fine. No other thread may be using it.
//
// # Safety
// `session` is null or a session that was not freed.
void sanderling_session_free(SanderlingSession *session);

// Number of inputs; 0 for null.
//
// # Safety
// `session` is null or a session that was not freed.
size_t sanderling_session_input_count(const SanderlingSession *session);

// Number of outputs; 0 for null.
//
// # Safety
// `session` is null or a session that was not freed.
size_t sanderling_session_output_count(const SanderlingSession *session);

// Describes an input.
//
// # Safety
// `session` is null or a session that was not freed; `port` and `error` are null or valid for writing.
SanderlingStatus sanderling_session_input(const SanderlingSession *session,
                                          size_t index,
                                          SanderlingPort *port,
                                          SanderlingError **error);

// Describes an output.
//
// # Safety
// As for `sanderling_session_input`.
SanderlingStatus sanderling_session_output(const SanderlingSession *session,
                                           size_t index,
                                           SanderlingPort *port,
                                           SanderlingError **error);

// Runs the model on inputs by name. Their bytes are read before this returns.
//
// # Safety
// `session` is null or a session that was not freed; `inputs` is valid for reading `count` tensors, each with a valid
// name, shape and data of the lengths that it says; `error` is null or valid for writing.
SanderlingStatus sanderling_session_run(SanderlingSession *session,
                                        const SanderlingTensor *inputs,
                                        size_t count,
                                        SanderlingError **error);

// Lends an output of the last run, until the session's next call or its end.
//
// # Safety
// `session` is null or a session that was not freed; `tensor` and `error` are null or valid for writing.
SanderlingStatus sanderling_session_result(SanderlingSession *session,
                                           size_t index,
                                           SanderlingTensor *tensor,
                                           SanderlingError **error);

// Answers a file's bytes by the bundle's own pre- and post-processing.
//
// # Safety
// `session` is null or a session that was not freed; `bytes` is valid for reading `length` bytes; `answer` and `error`
// are null or valid for writing.
SanderlingStatus sanderling_session_answer(SanderlingSession *session,
                                           const uint8_t *bytes,
                                           size_t length,
                                           SanderlingAnswer *answer,
                                           SanderlingError **error);

// Runs the model and gives the digests of its integer layers, as JSON that `sanderling hash --against` reads. Free it
// by `sanderling_string_free`.
//
// # Safety
// As for `sanderling_session_run`; `json` is null or valid for writing a pointer.
SanderlingStatus sanderling_session_hash(SanderlingSession *session,
                                         const SanderlingTensor *inputs,
                                         size_t count,
                                         char **json,
                                         SanderlingError **error);

// Frees a string that a function gave; null is fine.
//
// # Safety
// `string` is null or was given by this library and not freed.
void sanderling_string_free(char *string);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SANDERLING_H */
