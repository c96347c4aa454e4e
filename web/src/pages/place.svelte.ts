// Where the reader is in the list, kept while another page is shown. Knows nothing of the rows.

class Place {
  /** The pipeline whose row the keys start from. */
  at = $state<number | null>(null);
  /** The pipeline whose row was opened, to get the focus back. */
  left: number | null = null;
}

export const place = new Place();
