// The ten lines of the README.
#include "sanderling.h"
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    SanderlingSession *session = NULL;
    SanderlingError *error = NULL;
    if (argc < 3 || sanderling_session_open_file(argv[1], NULL, &session, &error) != SANDERLING_STATUS_OK) {
        fprintf(stderr, "%s\n", error ? sanderling_error_message(error) : "usage: readme BUNDLE TEXT");
        sanderling_error_free(error);
        return 1;
    }
    SanderlingAnswer answer;
    if (sanderling_session_answer(session, (const uint8_t *)argv[2], strlen(argv[2]), &answer, &error) == SANDERLING_STATUS_OK)
        printf("%s %.3f\n", answer.label, answer.confidence);
    sanderling_error_free(error);
    sanderling_session_free(session);
    return 0;
}
