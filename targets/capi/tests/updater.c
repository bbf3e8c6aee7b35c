// An updater whose server nobody listens at: the factory bundle answers, and everything that a caller can get wrong. Arguments:
// a state folder, an enrolment string, a bundle of the toy model. Run under valgrind: nothing may leak.
#include "sanderling.h"
#include <stdio.h>
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

static const float VALUES[] = {1.0f, 3.0f};

static int log_says(SanderlingUpdater *updater, const char *words) {
    int found = 0;
    char *line = NULL;
    while (sanderling_updater_line(updater, &line, NULL) == SANDERLING_STATUS_OK && line != NULL) {
        found |= strstr(line, words) != NULL;
        sanderling_string_free(line);
    }
    return found;
}

static void check_answers(SanderlingUpdater *updater) {
    SanderlingAnswer answer;
    SanderlingSession *session = NULL;
    char *json = NULL;
    CHECK(sanderling_updater_answer(updater, (const uint8_t *)VALUES, sizeof VALUES, &answer, NULL) == SANDERLING_STATUS_OK);
    CHECK(strcmp(answer.label, "right") == 0 && answer.confidence > 0.88f);
    FAILS(sanderling_updater_answer(updater, (const uint8_t *)VALUES, 3, &answer, &error), SANDERLING_STATUS_INPUT, "3 bytes");
    FAILS(sanderling_updater_answer(updater, NULL, 3, &answer, &error), SANDERLING_STATUS_ARGUMENT, "file is null");
    CHECK(sanderling_updater_session(updater, &session, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_session_input_count(session) == 1);
    sanderling_session_free(session);
    CHECK(sanderling_updater_state(updater, &json, NULL) == SANDERLING_STATUS_OK);
    CHECK(strstr(json, "\"place\":\"factory\"") != NULL && strstr(json, "\"model\":\"sides\"") != NULL);
    sanderling_string_free(json);
}

static void check_steps(SanderlingUpdater *updater) {
    SanderlingRequest request, none;
    uint64_t wait = 0;
    bool wanted = true;
    CHECK(sanderling_updater_step(updater, &request, &wait, NULL) == SANDERLING_STATUS_OK);
    CHECK(request.id != 0 && strcmp(request.method, "POST") == 0 && strncmp(request.url, "http://127.0.0.1:1/", 19) == 0);
    CHECK(request.header_count > 0 && request.headers[0] != NULL && request.body_length > 0 && request.timeout_s > 0);
    uint64_t id = request.id;
    CHECK(sanderling_updater_step(updater, &none, &wait, NULL) == SANDERLING_STATUS_OK && none.id == 0 && wait > 0);
    const char *headers[] = {"retry-after", "600"};
    CHECK(sanderling_updater_respond(updater, id, 503, headers, 1, &wanted, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_updater_body(updater, id, (const uint8_t *)"no", 2, &wanted, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_updater_end(updater, id, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_updater_body(updater, id, NULL, 0, &wanted, NULL) == SANDERLING_STATUS_OK && !wanted);
    CHECK(sanderling_updater_check_in(updater, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_updater_failed(updater, 77, 1, NULL, NULL) == SANDERLING_STATUS_OK);
    CHECK(sanderling_updater_rest(updater, NULL) == SANDERLING_STATUS_OK);
    CHECK(log_says(updater, "503"));
    CHECK(sanderling_updater_wait(updater, &wait, NULL) == SANDERLING_STATUS_OK && wait > 0);
    FAILS(sanderling_updater_wait(NULL, &wait, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_wait(updater, NULL, &error), SANDERLING_STATUS_ARGUMENT, "null");
    FAILS(sanderling_updater_step(updater, NULL, &wait, &error), SANDERLING_STATUS_ARGUMENT, "null");
    FAILS(sanderling_updater_respond(updater, id, 200, NULL, 1, &wanted, &error), SANDERLING_STATUS_ARGUMENT, "headers is null");
    FAILS(sanderling_updater_body(updater, id, NULL, 5, &wanted, &error), SANDERLING_STATUS_ARGUMENT, "block is null");
}

static void check_null(void) {
    SanderlingRequest request;
    SanderlingAnswer answer;
    SanderlingSession *session = NULL;
    uint64_t wait;
    bool wanted;
    char *text = NULL;
    FAILS(sanderling_updater_step(NULL, &request, &wait, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_respond(NULL, 1, 200, NULL, 0, &wanted, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_body(NULL, 1, NULL, 0, &wanted, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_end(NULL, 1, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_failed(NULL, 1, 0, NULL, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_check_in(NULL, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_rest(NULL, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_answer(NULL, NULL, 0, &answer, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_session(NULL, &session, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_state(NULL, &text, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    FAILS(sanderling_updater_line(NULL, &text, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    sanderling_updater_free(NULL);
}

// Whatever was in the caller's pointers is nulled, so that freeing after any outcome is sound.
static void check_pointers(const SanderlingUpdaterOptions *taken) {
    SanderlingUpdater *updater = (SanderlingUpdater *)&failures;
    SanderlingSession *session = (SanderlingSession *)&failures;
    char *json = (char *)&failures, *line = (char *)&failures;
    CHECK(sanderling_updater_open(taken, &updater, NULL) == SANDERLING_STATUS_STATE && updater == NULL);
    updater = (SanderlingUpdater *)&failures;
    CHECK(sanderling_updater_open(NULL, &updater, NULL) == SANDERLING_STATUS_ARGUMENT && updater == NULL);
    CHECK(sanderling_updater_session(NULL, &session, NULL) == SANDERLING_STATUS_ARGUMENT && session == NULL);
    CHECK(sanderling_updater_state(NULL, &json, NULL) == SANDERLING_STATUS_ARGUMENT && json == NULL);
    CHECK(sanderling_updater_line(NULL, &line, NULL) == SANDERLING_STATUS_ARGUMENT && line == NULL);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    SanderlingUpdater *updater = NULL, *second = NULL;
    SanderlingUpdaterOptions good = {argv[1], argv[2], "test-phone", argv[3], {1, 0}, 0, 0}, bad = good;
    CHECK(sanderling_updater_open(&good, &updater, NULL) == SANDERLING_STATUS_OK);
    FAILS(sanderling_updater_open(&good, &second, &error), SANDERLING_STATUS_STATE, "already runs");
    FAILS(sanderling_updater_open(NULL, &second, &error), SANDERLING_STATUS_ARGUMENT, "options are null");
    FAILS(sanderling_updater_open(&good, NULL, &error), SANDERLING_STATUS_ARGUMENT, "updater is null");
    bad.state = NULL;
    FAILS(sanderling_updater_open(&bad, &second, &error), SANDERLING_STATUS_ARGUMENT, "state folder is null");
    bad = good, bad.enrolment = "sdl1:nonsense";
    FAILS(sanderling_updater_open(&bad, &second, &error), SANDERLING_STATUS_ARGUMENT, "enrolment string");
    bad = good, bad.hardware = "a b";
    FAILS(sanderling_updater_open(&bad, &second, &error), SANDERLING_STATUS_ARGUMENT, "'a b'");
    bad = good, bad.factory = "no/such.sdl";
    FAILS(sanderling_updater_open(&bad, &second, &error), SANDERLING_STATUS_FILE, "no/such.sdl");
    check_answers(updater);
    check_steps(updater);
    check_null();
    check_pointers(&good);
    sanderling_updater_free(updater);
    // The folder is free again, and knows its fleet; without a factory bundle there is no model.
    good.enrolment = NULL, good.factory = NULL;
    CHECK(sanderling_updater_open(&good, &updater, NULL) == SANDERLING_STATUS_OK);
    SanderlingAnswer answer;
    FAILS(sanderling_updater_answer(updater, NULL, 0, &answer, &error), SANDERLING_STATUS_NO_MODEL, "no intact model");
    sanderling_updater_free(updater);
    printf("%d failure(s)\n", failures);
    return failures != 0;
}
