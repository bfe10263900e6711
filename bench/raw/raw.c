/*
 * The ceiling: how many secp256k1 signatures one process gets out of a PKCS#11 module, with nothing else in the way.
 *
 *   raw MODULE TOKEN-LABEL KEY-LABEL SECONDS
 *
 * Reads the PIN from the first line of its input, logs in, finds the key, writes "ready". At the next line it signs
 * digests of 32 bytes for SECONDS, each with C_SignInit and C_Sign, and writes "COUNT NANOSECONDS".
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pkcs11.h>

#define LABEL_BYTES 32
#define SLOTS_MAX 1024

static CK_FUNCTION_LIST *hsm;

static void fail(const char *what, unsigned long code) {
  fprintf(stderr, "raw: %s (0x%lx)\n", what, code);
  exit(1);
}

static void must(const char *what, CK_RV rv) {
  if (rv != CKR_OK) fail(what, rv);
}

static void load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(dlerror(), 0);
  CK_C_GetFunctionList get_function_list = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  if (!get_function_list) fail("no C_GetFunctionList", 0);
  must("C_GetFunctionList", get_function_list(&hsm));
  CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
  must("C_Initialize", hsm->C_Initialize(&arguments));
}

static CK_SLOT_ID find_slot(const char *label) {
  CK_SLOT_ID slots[SLOTS_MAX];
  CK_ULONG count = SLOTS_MAX;
  CK_UTF8CHAR padded[LABEL_BYTES];
  size_t length = strlen(label);
  if (length > LABEL_BYTES) fail("token label too long", 0);
  memset(padded, ' ', LABEL_BYTES);
  memcpy(padded, label, length);
  must("C_GetSlotList", hsm->C_GetSlotList(CK_TRUE, slots, &count));
  for (CK_ULONG i = 0; i < count; i++) {
    CK_TOKEN_INFO info;
    if (hsm->C_GetTokenInfo(slots[i], &info) == CKR_OK && !memcmp(info.label, padded, LABEL_BYTES)) return slots[i];
  }
  fail("no such token", 0);
  return 0;
}

static CK_SESSION_HANDLE log_in(CK_SLOT_ID slot) {
  char pin[256];
  CK_SESSION_HANDLE session;
  if (!fgets(pin, sizeof pin, stdin)) fail("no PIN on the input", 0);
  pin[strcspn(pin, "\n")] = 0;
  must("C_OpenSession", hsm->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session));
  must("C_Login", hsm->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin)));
  memset(pin, 0, sizeof pin);
  return session;
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, const char *label) {
  CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
  CK_ATTRIBUTE wanted[] = {
      {CKA_CLASS, &private_key, sizeof private_key},
      {CKA_LABEL, (void *)label, strlen(label)},
  };
  CK_OBJECT_HANDLE found[2];
  CK_ULONG count = 0;
  must("C_FindObjectsInit", hsm->C_FindObjectsInit(session, wanted, 2));
  must("C_FindObjects", hsm->C_FindObjects(session, found, 2, &count));
  must("C_FindObjectsFinal", hsm->C_FindObjectsFinal(session));
  if (count != 1) fail("expected one key with that label, found another number", count);
  return found[0];
}

static long long now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void sign_for(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, double seconds) {
  CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
  CK_BYTE digest[32] = {0}, signature[64];
  unsigned long count = 0;
  long long start = now_ns(), end = start + (long long)(seconds * 1e9), now;
  do {
    CK_ULONG length = sizeof signature;
    memcpy(digest, &count, sizeof count);
    must("C_SignInit", hsm->C_SignInit(session, &ecdsa, key));
    must("C_Sign", hsm->C_Sign(session, digest, sizeof digest, signature, &length));
    count++;
    now = now_ns();
  } while (now < end);
  printf("%lu %lld\n", count, now - start);
}

int main(int argc, char **argv) {
  if (argc != 5) fail("expected MODULE TOKEN-LABEL KEY-LABEL SECONDS", 0);
  load(argv[1]);
  CK_SESSION_HANDLE session = log_in(find_slot(argv[2]));
  CK_OBJECT_HANDLE key = find_key(session, argv[3]);
  puts("ready");
  fflush(stdout);
  if (getchar() == EOF) return 1;
  sign_for(session, key, atof(argv[4]));
  hsm->C_Finalize(NULL);
  return 0;
}
