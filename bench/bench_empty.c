/* What CLI start is compared with. */
int main(void) { return 0; }
