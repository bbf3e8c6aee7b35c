// Everything the interface does, and everything that a caller can get wrong. Arguments: a bundle of the toy model
// (y = softmax(x), labels left and right), and a truncated copy of it. Run under valgrind: nothing may leak.
#include "sanderling.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: not %s\n", __LINE__, #condition); \
            failures++; \
        } \
    } while (0)

// The call fails with this status, and its error says this.
#define FAILS(call, status, words) \
    do { \
        SanderlingError *error = NULL; \
        CHECK((call) == (status)); \
        CHECK(error != NULL && strstr(sanderling_error_message(error), (words)) != NULL); \
        if (error != NULL && strstr(sanderling_error_message(error), (words)) == NULL) \
            printf("line %d says: %s\n", __LINE__, sanderling_error_message(error)); \
        sanderling_error_free(error); \
    } while (0)

static unsigned char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*length);
    *length = fread(bytes, 1, *length, file);
    fclose(file);
    return bytes;
}

static const size_t SHAPE[] = {1, 2};
static const float VALUES[] = {1.0f, 3.0f};

static SanderlingTensor input(void) {
    SanderlingTensor tensor = {"x", 1, 2, SHAPE, VALUES, sizeof VALUES};
    return tensor;
}

static void check_run(SanderlingSession *session) {
    SanderlingTensor x = input(), y;
    CHECK(sanderling_session_run(session, &x, 1, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_session_result(session, 0, &y, NULL) == SANDERLING_STATUS_OK);
    CHECK(strcmp(y.name, "y") == 0 && y.dtype == 1 && y.rank == 2 && y.shape[0] == 1 && y.shape[1] == 2);
    CHECK(y.bytes == 8 && fabsf(((const float *)y.data)[1] - 0.880797f) < 1e-5f);
    // Data that lies askew is copied, not misread.
    unsigned char askew[sizeof VALUES + 1];
    memcpy(askew + 1, VALUES, sizeof VALUES);
    x.data = askew + 1;
    CHECK(sanderling_session_run(session, &x, 1, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_session_result(session, 0, &y, NULL) == SANDERLING_STATUS_OK);
    CHECK(fabsf(((const float *)y.data)[1] - 0.880797f) < 1e-5f);
}

static void check_ports(SanderlingSession *session) {
    SanderlingPort port;
    CHECK(sanderling_session_input_count(session) == 1 && sanderling_session_output_count(session) == 1);
    CHECK(sanderling_session_input(session, 0, &port, NULL) == SANDERLING_STATUS_OK);
    CHECK(strcmp(port.name, "x") == 0 && port.dtype == 1 && port.rank == 2);
    CHECK(port.shape[0] == -1 && port.shape[1] == 2);
    CHECK(sanderling_session_output(session, 0, &port, NULL) == SANDERLING_STATUS_OK && strcmp(port.name, "y") == 0);
    FAILS(sanderling_session_input(session, 1, &port, &error), SANDERLING_STATUS_ARGUMENT, "there are 1");
}

static void check_answer(SanderlingSession *session) {
    SanderlingAnswer answer;
    CHECK(sanderling_session_answer(session, (const uint8_t *)VALUES, sizeof VALUES, &answer, NULL) == SANDERLING_STATUS_OK);
    CHECK(strcmp(answer.label, "right") == 0 && answer.confidence > 0.88f && !answer.rule);
    FAILS(sanderling_session_answer(session, (const uint8_t *)VALUES, 3, &answer, &error), SANDERLING_STATUS_INPUT, "3 bytes");
    // The toy model takes no pictures, and says so; what the last answer lent is still there.
    static const uint8_t RGB[12] = {0};
    FAILS(sanderling_session_answer_image(session, 2, 2, RGB, 12, &answer, &error), SANDERLING_STATUS_INPUT, "this is an image");
    FAILS(sanderling_session_answer_image(session, 2, 2, NULL, 12, &answer, &error), SANDERLING_STATUS_ARGUMENT, "the image is null");
    CHECK(strcmp(answer.label, "right") == 0);
    CHECK(sanderling_session_label_count(session) == 2 && sanderling_session_label_count(NULL) == 0);
    CHECK(strcmp(sanderling_session_label(session, 1), "right") == 0 && sanderling_session_label(session, 2) == NULL);
}

// Whatever was in the caller's pointers is nulled, so that freeing after any outcome is sound.
static void check_pointers(const char *whole, const char *cut) {
    SanderlingSession *session = (SanderlingSession *)&failures;
    SanderlingError *error = (SanderlingError *)&failures;
    CHECK(sanderling_session_open_file(cut, NULL, &session, &error) == SANDERLING_STATUS_BUNDLE);
    CHECK(session == NULL && error != NULL);
    sanderling_error_free(error);
    error = (SanderlingError *)&failures;
    CHECK(sanderling_session_open_file(whole, NULL, &session, &error) == SANDERLING_STATUS_OK && error == NULL);
    sanderling_session_free(session);
    SanderlingOptions small = {1, 100};
    FAILS(sanderling_session_open_file(whole, &small, &session, &error), SANDERLING_STATUS_TOO_LARGE, "raise the limit");
}

static void check_hash(SanderlingSession *session) {
    SanderlingTensor x = input();
    char *json = NULL;
    CHECK(sanderling_session_hash(session, &x, 1, &json, NULL) == SANDERLING_STATUS_OK);
    CHECK(json != NULL && strstr(json, "\"layers\"") != NULL);
    sanderling_string_free(json);
}

static void check_bad_bundles(const char *truncated, unsigned char *bytes, size_t length) {
    SanderlingSession *session = NULL;
    FAILS(sanderling_session_open_file(truncated, NULL, &session, &error), SANDERLING_STATUS_BUNDLE, "");
    FAILS(sanderling_session_open_file("no/such.sdl", NULL, &session, &error), SANDERLING_STATUS_FILE, "no/such.sdl");
    FAILS(sanderling_session_open_file("\xff", NULL, &session, &error), SANDERLING_STATUS_ARGUMENT, "UTF-8");
    FAILS(sanderling_session_open_file(NULL, NULL, &session, &error), SANDERLING_STATUS_ARGUMENT, "path is null");
    FAILS(sanderling_session_open(NULL, 5, NULL, &session, &error), SANDERLING_STATUS_ARGUMENT, "bundle is null");
    FAILS(sanderling_session_open(bytes, length, NULL, NULL, &error), SANDERLING_STATUS_ARGUMENT, "session is null");
    for (size_t cut = 0; cut < length; cut += 1 + length / 50)
        FAILS(sanderling_session_open(bytes, cut, NULL, &session, &error), SANDERLING_STATUS_BUNDLE, "");
    bytes[length / 2] ^= 4;
    FAILS(sanderling_session_open(bytes, length, NULL, &session, &error), SANDERLING_STATUS_BUNDLE, "");
    bytes[length / 2] ^= 4;
    SanderlingOptions little = {1, 8};
    FAILS(sanderling_session_open(bytes, length, &little, &session, &error), SANDERLING_STATUS_TOO_LARGE, "raise the limit");
    // Enough for the bundle, not for the intermediates of so long an input.
    SanderlingOptions enough = {1, length};
    CHECK(sanderling_session_open(bytes, length, &enough, &session, NULL) == SANDERLING_STATUS_OK);
    const size_t shape[] = {length, 2};
    float *values = calloc(length, 2 * sizeof *values);
    SanderlingTensor x = {"x", 1, 2, shape, values, length * 2 * sizeof *values};
    FAILS(sanderling_session_run(session, &x, 1, &error), SANDERLING_STATUS_TOO_LARGE, "limit");
    sanderling_session_free(session);
    free(values);
}

static void check_bad_inputs(SanderlingSession *session) {
    SanderlingTensor x = input(), y;
    FAILS(sanderling_session_run(NULL, &x, 1, &error), SANDERLING_STATUS_ARGUMENT, "session is null");
    FAILS(sanderling_session_run(session, NULL, 1, &error), SANDERLING_STATUS_ARGUMENT, "inputs is null");
    FAILS(sanderling_session_run(session, NULL, 0, &error), SANDERLING_STATUS_INPUT, "'x'");
    SanderlingTensor bad = x;
    bad.name = "z";
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_INPUT, "'z'");
    bad = x, bad.name = NULL;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_ARGUMENT, "name of input 0 is null");
    bad = x, bad.bytes = 7;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_INPUT, "these are 7");
    bad = x, bad.dtype = 99;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_ARGUMENT, "no dtype 99");
    bad = x, bad.dtype = 6;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_INPUT, "int32");
    bad = x, bad.data = NULL;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_ARGUMENT, "data of input 0 is null");
    bad = x, bad.shape = NULL;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_ARGUMENT, "shape of input 0 is null");
    const size_t huge[] = {(size_t)-1, 2};
    bad = x, bad.shape = huge;
    FAILS(sanderling_session_run(session, &bad, 1, &error), SANDERLING_STATUS_INPUT, "");
    // A failed run leaves no results behind.
    FAILS(sanderling_session_result(session, 0, &y, &error), SANDERLING_STATUS_ARGUMENT, "gave 0");
    CHECK(sanderling_session_run(session, &x, 1, NULL) == SANDERLING_STATUS_OK);
    FAILS(sanderling_session_result(session, 0, NULL, &error), SANDERLING_STATUS_ARGUMENT, "tensor is null");
    FAILS(sanderling_session_result(session, 7, &y, &error), SANDERLING_STATUS_ARGUMENT, "no output 7");
}

// Two threads on one session: each call either runs or is told that the other is at it.
static int busy = 0, ran = 0, other = 0;

static void *hammer(void *session) {
    SanderlingTensor x = input();
    for (int i = 0; i < 200; i++) {
        switch (sanderling_session_run(session, &x, 1, NULL)) {
        case SANDERLING_STATUS_OK: __atomic_add_fetch(&ran, 1, __ATOMIC_RELAXED); break;
        case SANDERLING_STATUS_BUSY: __atomic_add_fetch(&busy, 1, __ATOMIC_RELAXED); break;
        default: __atomic_add_fetch(&other, 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static void check_threads(SanderlingSession *session) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, hammer, session);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK(ran + busy == 400 && ran > 0 && other == 0);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    CHECK(sanderling_abi_version() == SANDERLING_ABI_VERSION);
    CHECK(strchr(sanderling_version(), '.') != NULL);
    size_t length = 0;
    unsigned char *bytes = read_file(argv[1], &length);
    SanderlingSession *session = NULL;
    SanderlingOptions options = {2, 0};
    CHECK(bytes != NULL && sanderling_session_open(bytes, length, &options, &session, NULL) == SANDERLING_STATUS_OK);
    check_ports(session);
    check_run(session);
    check_answer(session);
    check_hash(session);
    check_bad_inputs(session);
    check_threads(session);
    check_bad_bundles(argv[2], bytes, length);
    check_pointers(argv[1], argv[2]);
    // Null is fine where something is freed or counted.
    sanderling_session_free(NULL);
    sanderling_error_free(NULL);
    sanderling_string_free(NULL);
    CHECK(sanderling_session_input_count(NULL) == 0 && sanderling_error_message(NULL) == NULL);
    sanderling_session_free(session);
    free(bytes);
    printf("%d failure(s)\n", failures);
    return failures != 0;
}
