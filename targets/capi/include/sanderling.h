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
  // The state folder of an updater (in use, of another fleet, without its key), or its enrolment.
  SANDERLING_STATUS_STATE = 9,
  // There is no intact model: neither in a slot nor from the factory.
  SANDERLING_STATUS_NO_MODEL = 10,
  // More memory than the limit allows.
  SANDERLING_STATUS_TOO_LARGE = 11,
} SanderlingStatus;

// What went wrong, in words.
typedef struct SanderlingError SanderlingError;

// A model, ready to run. For one thread at a time.
typedef struct SanderlingSession SanderlingSession;

// A device's agent on its state folder, and the image that answers. Steps are for one thread, answers for another: a second one of
// either gets `SANDERLING_STATUS_BUSY`, for what the one before was lent would change. All else may be called from any thread:
// `sanderling_updater_check_in` and `sanderling_updater_rest` do not wait for other calls, what hands in an answer does.
typedef struct SanderlingUpdater SanderlingUpdater;

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
  // The label; lent until the session's next answer or its end.
  const char *label;
  // Score of the best label, 0 to 1 for probabilities; 1 for an answer by rule.
  float confidence;
  // Whether a rule answered, without the model.
  bool rule;
  // Whether the score was below the label's threshold.
  bool below_threshold;
} SanderlingAnswer;

// How an updater is set up; null and zero for a field's default.
typedef struct {
  // The state folder; made if need be. Keys and images are in it: keep it out of backups.
  const char *state;
  // The enrolment string of `sanderling device enrol`; null once the folder belongs to a fleet.
  const char *enrolment;
  // The kind of hardware, as the fleet's owner names it.
  const char *hardware;
  // The bundle that came with the app: it answers where no slot holds an intact image. Null for none.
  const char *factory;
  // How models run.
  SanderlingOptions model;
  // Most bytes of images fetched in a day; 0 is 2 GiB.
  uint64_t daily_budget;
  // Least seconds that a new image is on trial; 0 is 30.
  uint32_t trial_seconds;
} SanderlingUpdaterOptions;

// A request to be carried out: to this address and no other, without following redirects, as it is.
typedef struct {
  // Its number; 0 where there is none.
  uint64_t id;
  // `GET` or `POST`; lent until the next step, like all below.
  const char *method;
  // The whole address.
  const char *url;
  // Names and values in turn.
  const char *const *headers;
  // Number of pairs.
  size_t header_count;
  // The body; empty for `GET`.
  const uint8_t *body;
  // Its length.
  size_t body_length;
  // Most bytes of the answer's body.
  uint64_t max_body;
  // Seconds for the whole exchange.
  uint32_t timeout_s;
} SanderlingRequest;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

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

// Opens a bundle that lies in memory; the bytes are copied. `session` is null after a failure, whatever it was.
//
// # Safety
// `bundle` is valid for reading `length` bytes; `options` is null or valid; `session` and `error` are null or valid
// for writing a pointer.
SanderlingStatus sanderling_session_open(const uint8_t *bundle,
                                         size_t length,
                                         const SanderlingOptions *options,
                                         SanderlingSession **session,
                                         SanderlingError **error);

// Opens a bundle from a file. `session` is null after a failure, whatever it was.
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

// Lends an output of the last run, until the session's next run or its end: all of a run's outputs can be held at one time.
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

// Answers an image by the bundle's own pre- and post-processing: `width` × `height` pixels of 8-bit red, green and blue, row by row
// without gaps, `length` bytes in all.
//
// # Safety
// As for `sanderling_session_answer`, `rgb` being the bytes.
SanderlingStatus sanderling_session_answer_image(SanderlingSession *session,
                                                 size_t width,
                                                 size_t height,
                                                 const uint8_t *rgb,
                                                 size_t length,
                                                 SanderlingAnswer *answer,
                                                 SanderlingError **error);

// Number of labels of a classifier; 0 for null, and where the bundle has none.
//
// # Safety
// `session` is null or a session that was not freed.
size_t sanderling_session_label_count(const SanderlingSession *session);

// The label of an index of the scores, lent until the session is freed; null past the last.
//
// # Safety
// As for `sanderling_session_label_count`.
const char *sanderling_session_label(const SanderlingSession *session, size_t index);

// Runs the model and gives the digests of its integer layers, as JSON that `sanderling hash --against` reads. Free it
// by `sanderling_string_free`; it is null after a failure, whatever it was.
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

// Opens a state folder, and loads the image that answers. `updater` is null after a failure, whatever it was: free the one that has the
// folder before.
//
// # Safety
// `options` is null or valid, with strings that end in zero or are null; `updater` and `error` are null or valid for writing a
// pointer.
SanderlingStatus sanderling_updater_open(const SanderlingUpdaterOptions *options,
                                         SanderlingUpdater **updater,
                                         SanderlingError **error);

// Puts what was counted on the disk, frees an updater and what it lent; null is fine. No other thread may be using it.
//
// # Safety
// `updater` is null or an updater that was not freed.
void sanderling_updater_free(SanderlingUpdater *updater);

// Does all that needs no network, and says what is next: a request to carry out (its number is not 0), or how many
// milliseconds to wait.
//
// # Safety
// `updater` is null or an updater that was not freed; `request`, `wait_ms` and `error` are null or valid for writing.
SanderlingStatus sanderling_updater_step(SanderlingUpdater *updater,
                                         SanderlingRequest *request,
                                         uint64_t *wait_ms,
                                         SanderlingError **error);

// Milliseconds until there is something to do, as a step would say, without doing any of it.
//
// # Safety
// `updater` is null or an updater that was not freed; `wait_ms` and `error` are null or valid for writing.
SanderlingStatus sanderling_updater_wait(SanderlingUpdater *updater, uint64_t *wait_ms, SanderlingError **error);

// The head of a request's answer: its status, and headers as names in lower case and values in turn. Says whether the rest
// is wanted.
//
// # Safety
// `updater` is null or an updater that was not freed; `headers` is valid for reading `2 * header_count` strings; `wanted` and
// `error` are null or valid for writing.
SanderlingStatus sanderling_updater_respond(SanderlingUpdater *updater,
                                            uint64_t id,
                                            uint16_t status,
                                            const char *const *headers,
                                            size_t header_count,
                                            bool *wanted,
                                            SanderlingError **error);

// The next bytes of the answer's body. Says whether more are wanted.
//
// # Safety
// `updater` is null or an updater that was not freed; `bytes` is valid for reading `length` bytes; `wanted` and `error` are null
// or valid for writing.
SanderlingStatus sanderling_updater_body(SanderlingUpdater *updater,
                                         uint64_t id,
                                         const uint8_t *bytes,
                                         size_t length,
                                         bool *wanted,
                                         SanderlingError **error);

// The answer is there whole.
//
// # Safety
// `updater` is null or an updater that was not freed; `error` is null or valid for writing.
SanderlingStatus sanderling_updater_end(SanderlingUpdater *updater, uint64_t id, SanderlingError **error);

// The exchange came to no answer, or broke off: 0 for no connection, 1 for too little time, 2 for anything else; `detail` says
// why, and may be null.
//
// # Safety
// `updater` is null or an updater that was not freed; `detail` is null or ends in zero; `error` is null or valid for writing.
SanderlingStatus sanderling_updater_failed(SanderlingUpdater *updater,
                                           uint64_t id,
                                           int32_t cause,
                                           const char *detail,
                                           SanderlingError **error);

// Checks in at the next step: a push message came, or the user asked for it.
//
// # Safety
// `updater` is null or an updater that was not freed; `error` is null or valid for writing.
SanderlingStatus sanderling_updater_check_in(SanderlingUpdater *updater, SanderlingError **error);

// Puts what was counted on the disk, and takes this start of the program for a good one: starts that end without it count as
// crashes of an image on trial. At the end of a job, and before the system may end the program. While another call is under way,
// that one does it before it returns, and the log says where the disk took nothing.
//
// # Safety
// `updater` is null or an updater that was not freed; `error` is null or valid for writing.
SanderlingStatus sanderling_updater_rest(SanderlingUpdater *updater,
                                         SanderlingError **error);

// Answers a file's bytes from the image that serves; counted for the fleet. The label is lent until the updater's next answer.
//
// # Safety
// `updater` is null or an updater that was not freed; `bytes` is valid for reading `length` bytes; `answer` and `error` are null
// or valid for writing.
SanderlingStatus sanderling_updater_answer(SanderlingUpdater *updater,
                                           const uint8_t *bytes,
                                           size_t length,
                                           SanderlingAnswer *answer,
                                           SanderlingError **error);

// A session on the image that serves, for what `sanderling_updater_answer` does not do. It stays that image until it is freed;
// what is run on it is not counted. `session` is null after a failure, whatever it was.
//
// # Safety
// `updater` is null or an updater that was not freed; `session` and `error` are null or valid for writing a pointer.
SanderlingStatus sanderling_updater_session(SanderlingUpdater *updater,
                                            SanderlingSession **session,
                                            SanderlingError **error);

// What the updater says of itself, as JSON: device, server, enrolled, phase, image, place, model, version, standby, factory.
// Free it by `sanderling_string_free`; it is null after a failure, whatever it was.
//
// # Safety
// `updater` is null or an updater that was not freed; `json` and `error` are null or valid for writing a pointer.
SanderlingStatus sanderling_updater_state(SanderlingUpdater *updater,
                                          char **json,
                                          SanderlingError **error);

// The next line of the updater's log, oldest first; null where there is none, and after a failure. Free it by
// `sanderling_string_free`.
//
// # Safety
// `updater` is null or an updater that was not freed; `line` and `error` are null or valid for writing a pointer.
SanderlingStatus sanderling_updater_line(SanderlingUpdater *updater, char **line, SanderlingError **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SANDERLING_H */
